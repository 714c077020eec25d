"""Columns of a record: text with spaces between, as a list of 5,000 numbers would be as many
lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema


def column(show: Callable[[Any], str]) -> tuple[Any, ...]:
    """What makes a pydantic field of a tuple a column, for `Annotated`.

    Args:
        show: a value as text, without spaces.
    """

    def joined(values: tuple[object, ...]) -> str:
        return " ".join(map(show, values))

    return (
        BeforeValidator(_split),
        PlainSerializer(joined, return_type=str),
        WithJsonSchema({"type": "string"}),
    )


def _split(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value
