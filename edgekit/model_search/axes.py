"""Which fields vary, and over which values: `--over data.image_size=96,128,160`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from edgekit.engine.artifact import digest_of
from edgekit.errors import ConfigError, InputError, Problem
from edgekit.printable import shortened
from edgekit.spec.fields import parse_value, text_among, value_text
from edgekit.spec.recipe import Recipe

Axes = Mapping[str, Sequence[Any]]
"""Values by the dotted paths of the fields that take them."""
FRAMING = ("image_size", "fit", "crop_pct", "interpolation", "orientation")
"""The fields of data that change what is seen of an image, and not which images there are."""
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


def check_paths(paths: Collection[str]) -> None:
    """
    Raises:
        InputError: one of the fields lies within another, whose values would take its own away.
    """
    for outer in paths:
        for inner in paths:
            if inner.startswith(f"{outer}."):
                raise InputError(
                    f"{inner} lies within {outer}, and both cannot vary",
                    hint="vary one of them; values of a section are mappings: {arch: resnet18}",
                )


def vary_each(axes: Axes, vary: Callable[[Mapping[str, Any]], Recipe]) -> None:
    """Try each value by itself, the others as the first of theirs.

    Args:
        vary: gives the recipe with other values.

    Raises:
        ConfigError: values that the recipe refuses, all of them.
        InputError: a field that decides which images judge, or that another field overrules.
    """
    check_paths(axes)
    first = {path: values[0] for path, values in axes.items()}
    problems: list[Problem] = []
    judges: Any = None
    for path, values in axes.items():
        made: list[Any] = []
        for value in values:
            try:
                recipe = vary({**first, path: value})
            except ConfigError as error:
                problems += error.problems
                continue
            judges = judges or _judges(recipe)
            if _judges(recipe) != judges:
                raise InputError(
                    f"{path} cannot vary: it decides which images judge, and candidates are "
                    "judged on the same images",
                    hint="leave it as it stands in the recipe",
                )
            plain = recipe.model_dump(exclude={"search"})
            if plain in made:
                raise InputError(
                    f"{path}: {shortened(value_text(value))} makes the same recipe as another of "
                    "its values: another field overrules it, or both mean the same"
                )
            made.append(plain)
    if problems:
        raise ConfigError("the values that vary", list(dict.fromkeys(problems)))


def _judges(recipe: Recipe) -> dict[str, Any]:
    """All of the data but how an image is framed."""
    return recipe.data.model_dump(exclude={*FRAMING})


def is_ordered(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


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


def point_label(settings: Mapping[str, Any], axes: Axes) -> str:
    """What a person calls it; the architecture needs no name of its field.

    >>> axes = {"model.arch": ["resnet18", "resnet34"], "data.image_size": [96, 128]}
    >>> point_label({"model.arch": "resnet18", "data.image_size": 96}, axes)
    'resnet18, image_size 96'
    """
    ends = [path.rpartition(".")[2] for path in axes]
    found = []
    for path, end in zip(axes, ends, strict=True):
        text = text_among(settings[path], axes[path])
        named = end if ends.count(end) == 1 else path
        found.append(text if path in ("model", "model.arch") else f"{named} {text}")
    return ", ".join(found)


def point_name(settings: Mapping[str, Any]) -> str:
    """A short name that follows from the settings alone."""
    return "p" + digest_of({path: value_text(value) for path, value in settings.items()})[:12]
