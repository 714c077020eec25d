"""The height and width of an image, as one value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

PAIR = re.compile(r"\d+\s*[xX*,]\s*\d+")


@dataclass(frozen=True)
class Size:
    """In pixels. Recipes, cards, manifests and keys have one number where it is square, else
    [height, width].

    >>> str(Size.square(96)), str(Size(96, 128)), Size(96, 128).plain
    ('96', '96 x 128', [96, 128])
    """

    height: int
    width: int

    @classmethod
    def square(cls, side: int) -> Size:
        return cls(side, side)

    @property
    def is_square(self) -> bool:
        return self.height == self.width

    @property
    def plain(self) -> int | list[int]:
        return self.height if self.is_square else [self.height, self.width]

    def __iter__(self) -> Iterator[int]:
        yield from (self.height, self.width)

    def __str__(self) -> str:
        return str(self.height) if self.is_square else f"{self.height} x {self.width}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _schema(1, None)


@dataclass(frozen=True)
class Sides:
    """How long the sides of a field's Size may be, as an annotation of it."""

    least: int
    most: int | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return _schema(self.least, self.most)


def _schema(least: int, most: int | None) -> CoreSchema:
    side = core_schema.int_schema(ge=least, le=most, strict=True)
    pair = core_schema.tuple_positional_schema([side, side], strict=False)
    form = core_schema.tagged_union_schema(
        {"side": side, "pair": pair}, lambda value: "pair" if _is_list(value) else "side"
    )
    return core_schema.no_info_after_validator_function(
        lambda found: Size(*found) if _is_list(found) else Size.square(found),
        core_schema.no_info_before_validator_function(_plain, form),
        serialization=core_schema.plain_serializer_function_ser_schema(lambda size: size.plain),
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _plain(value: Any) -> Any:
    if isinstance(value, str) and PAIR.fullmatch(value.strip()):
        raise ValueError(f"[height, width] expected, e.g. [96, 128], not {value!r}")
    return value.plain if isinstance(value, Size) else value
