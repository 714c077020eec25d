"""Any field of a recipe by its dotted path: `data.image_size`, `prune.keep`, `finetune.epochs`.

A stage is named by its key, or by its place where it stands twice: `stages[1].finetune.epochs`.
What is set goes through the recipe's own validation, as if the file said it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from typing import Any

import yaml
from pydantic import BaseModel

from edgekit.errors import ConfigError, InputError
from edgekit.printable import shortened
from edgekit.spec.recipe import Recipe, conflicts
from edgekit.spec.yaml_document import Document
from edgekit.spec.yamlfile import parse, suggestion

Settings = Mapping[str, Any]
"""Values by their dotted paths."""
PLACE = re.compile(r"stages\[(\d{1,4})\]\.")
LONGEST = 2000
"""Characters of values that are written on the command line."""
NOT_FIELDS = ("name", "search", "report")
"""They change no model."""


def field_paths(recipe: Recipe) -> dict[str, Any]:
    """Every field that can be set, with its value; sections and stages as well, as mappings."""
    found: dict[str, Any] = {}
    for name, value in recipe:
        if name == "stages":
            for path, stage in _stages(recipe).items():
                _add(found, path, stage)
        elif name not in NOT_FIELDS:
            _add(found, name, value)
    return found


def _stages(recipe: Recipe) -> dict[str, BaseModel]:
    """Stages by their places, and by their keys where these name one of them alone."""
    names = [stage.stage for stage in recipe.stages]
    places = {f"stages[{i}].{name}": recipe.stages[i] for i, name in enumerate(names)}
    alone = {n: recipe.stages[i] for i, n in enumerate(names) if names.count(n) == 1}
    return {**alone, **places}


def _add(found: dict[str, Any], path: str, value: Any) -> None:
    found[path] = value
    if isinstance(value, BaseModel):
        for name, inner in value:
            if name not in ("stage", "source"):
                _add(found, f"{path}.{name}", inner)


def get_field(recipe: Recipe, path: str) -> Any:
    """The value of a field.

    Raises:
        InputError: there is no such field, with the nearest.
    """
    known = field_paths(recipe)
    if path in known:
        return known[path]
    twice = [place for place in known if place.endswith(f"].{path}") and "stages[" in place]
    if twice:
        raise InputError(f"{path} stands {len(twice)} times in the recipe: {', '.join(twice)}")
    near = suggestion(path, [name for name in known if "[" not in name])
    raise InputError(
        f"the recipe has no field {shortened(repr(path))}; {near}",
        hint="edgekit stages lists what each stage can say; a stage has to stand in the recipe",
    )


def with_fields(document: Document, recipe: Recipe, settings: Settings) -> Recipe:
    """The recipe of a document with other values.

    Args:
        recipe: what the document says as it stands.
        settings: a mapping changes those keys of a section that it names.

    Raises:
        InputError: there is no such field.
        ConfigError: a value that the recipe refuses, or values that do not go together.
    """
    changed = copy(document)
    changed.data, changed.written = deepcopy(document.data), dict(document.written)
    for path, value in settings.items():
        get_field(recipe, path)
        where = _steps(recipe, path)
        _set(changed.data, where, value)
        for old in [w for w in changed.written if list(w[: len(where)]) == where]:
            del changed.written[old]
    try:
        return parse(changed, Recipe, conflicts)
    except ConfigError as error:
        raise ConfigError(f"{document.path} with {told(settings)}", error.problems) from None


def told(settings: Settings) -> str:
    """
    >>> told({"data.image_size": 96, "model": {"arch": "resnet18"}})
    'data.image_size=96, model={arch: resnet18}'
    """
    return ", ".join(f"{path}={value_text(value)}" for path, value in settings.items())


def text_among(value: Any, others: Sequence[Any]) -> str:
    """Of a mapping only the first keys, as many as tell it from the others.

    >>> own = {"arch": "resnet18", "weights": "scratch"}
    >>> text_among(own, [own, {"arch": "resnet34", "weights": "scratch"}])
    'resnet18'
    >>> text_among(own, [own, {"arch": "resnet18", "weights": "pretrained"}])
    'resnet18, scratch'
    """
    if not isinstance(value, dict):
        return value_text(value)
    keys = [*value]
    for count in range(1, len(keys)):
        part = {key: value[key] for key in keys[:count]}
        if not any(
            isinstance(other, dict) and other != value and part.items() <= other.items()
            for other in others
        ):
            return ", ".join(map(value_text, part.values()))
    return ", ".join(map(value_text, value.values()))


def value_text(value: Any) -> str:
    """A value as YAML writes it in a line."""
    if isinstance(value, str):
        return value
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()


def parse_value(text: str) -> Any:
    """A value as YAML reads it; text that stays text may stand without quotes.

    Raises:
        ValueError: it is no YAML, or too long.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{len(text):,} characters, and {LONGEST:,} are the most")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"not valid YAML: {getattr(error, 'problem', None) or error}") from None


def _set(data: Any, where: Sequence[Any], value: Any) -> None:
    """Write a value into a recipe's plain data; sections that do not stand there are added."""
    *sections, last = where
    for key in sections:
        inner = data.get(key) if isinstance(data, dict) else data[key]
        if not isinstance(inner, dict | list):  # `- export` alone, or a key with nothing below
            data[key] = inner = {inner: {}} if isinstance(inner, str) else {}
        data = inner
    if isinstance(value, Mapping) and isinstance(data.get(last), dict):
        data[last].update(value)
    else:
        data[last] = deepcopy(value)


def _steps(recipe: Recipe, path: str) -> list[str | int]:
    """Where a field stands in the file: a stage is an entry of a list with one key."""
    if place := PLACE.match(path):
        return ["stages", int(place[1]), *path[place.end() :].split(".")]
    names = path.split(".")
    stages = [stage.stage for stage in recipe.stages]
    if names[0] in stages:
        return ["stages", stages.index(names[0]), *names]
    return [*names]
