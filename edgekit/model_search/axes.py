"""Which fields vary, and over which values: `--over data.image_size=96,128,160`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgekit.engine.artifact import digest_of
from edgekit.errors import InputError
from edgekit.printable import shortened
from edgekit.spec.fields import parse_value, value_text

Axes = Mapping[str, Sequence[Any]]
"""Values by the dotted paths of the fields that take them."""
MOST_POINTS = 1000
MOST_VALUES = 200
"""Of one field."""
EXAMPLE = "e.g. --over data.image_size=96,128,160"


def parse_axes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """
    Args:
        texts: `path=value,value`, each value as YAML reads it.

    Raises:
        InputError: no such form, a field or a value that stands twice, or none.

    >>> parse_axes(["data.image_size=96,128", "quantize.method=auto, ptq"])
    {'data.image_size': [96, 128], 'quantize.method': ['auto', 'ptq']}
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        path, sign, values = text.partition("=")
        path = path.strip()
        if not sign or not path:
            raise InputError(f"--over: {shortened(text)!r} names no values", hint=EXAMPLE)
        if path in found:
            raise InputError(f"--over: {path} stands twice", hint="give all its values at once")
        try:
            listed = parse_value(f"[{values}]")
        except ValueError as error:
            raise InputError(f"--over {path}: {error}", hint=EXAMPLE) from None
        if not isinstance(listed, list):
            raise InputError(f"--over {path}: values with commas expected", hint=EXAMPLE)
        found[path] = listed
        check_values(f"--over {path}", listed)
    return found


def check_values(where: str, values: Sequence[Any]) -> None:
    """
    Raises:
        InputError: there is none, one stands twice, or they are too many.
    """
    if not values:
        raise InputError(f"{where}: no value to try", hint=EXAMPLE)
    if len(values) > MOST_VALUES:
        raise InputError(f"{where}: {len(values):,} values, and {MOST_VALUES} are the most")
    texts = [value_text(value) for value in values]
    twice = sorted({shortened(text) for text in texts if texts.count(text) > 1})
    if twice:
        raise InputError(f"{where}: {', '.join(twice)} stands twice")


def size_of(axes: Axes) -> int:
    """How many points the grid has."""
    found = 1
    for values in axes.values():
        found *= len(values)
    return found


def grid(axes: Axes) -> Iterator[dict[str, Any]]:
    """Every combination; the last field varies fastest.

    >>> list(grid({"a": [1, 2], "b": ["x"]}))
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def point_name(settings: Mapping[str, Any]) -> str:
    """A short name that follows from the settings alone."""
    return "p" + digest_of({path: value_text(value) for path, value in settings.items()})[:6]
