"""Read a YAML file into a pydantic model; report every problem at once, with its line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from edgekit.engine.user_paths import loaded_from
from edgekit.errors import ConfigError, InputError, Problem

Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class Document:
    """Plain data of a YAML file, the line of every key, and the duplicate keys found."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file", hint=_nearest_file(path)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = self._plain(node, ()) if node is not None else {}
        except RecursionError:
            problem = Problem("", None, "nested too deeply, or an alias that holds itself")
            raise ConfigError(path, [problem]) from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            what = getattr(error, "problem", None) or str(error)
            line = mark.line + 1 if mark else None
            raise ConfigError(path, [Problem("", line, f"not valid YAML: {what}")]) from None

    def line(self, where: Location) -> int | None:
        """The line of a location, or of the nearest thing that encloses it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def problem(self, where: Location, message: str) -> Problem:
        return Problem(_dotted(where), self.line(where), message)

    def section(self, key: str) -> Document:
        """The mapping under a key as a document of its own, with the lines of the whole file."""
        part = copy(self)
        part.data = self.data[key]
        part.problems = []
        part.lines = {where[1:]: line for where, line in self.lines.items() if where[:1] == (key,)}
        return part

    def _plain(self, node: yaml.Node, where: Location) -> Any:
        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*where, i)) for i, item in enumerate(node.value)]
        try:
            return yaml.SafeLoader("").construct_object(node, deep=True)
        except (ValueError, LookupError, AttributeError) as error:  # the date 2024-13-01, !!bool x
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value!r}: {error}", node.start_mark
            ) from None

    def _mapping(self, node: yaml.MappingNode, where: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                dotted = _dotted((*where, key))
                self.problems.append(Problem(dotted, line, "this key stands here twice"))
            self.lines[(*where, key)] = line
            result[key] = self._plain(value_node, (*where, key))
        return result


def named_document(path: Path) -> Document:
    """A file whose `name`, unless it gives one, is that of the file."""
    document = Document(path)
    if isinstance(document.data, dict):
        document.data = {"name": path.stem, **document.data}
    return document


def parse(
    document: Document,
    model: type[Model],
    conflicts: Callable[[Model], list[tuple[Location, str]]] = lambda parsed: [],
) -> Model:
    """Validate a document against `model`.

    Args:
        conflicts: settings that are right alone and cannot work together, each with its place.

    Raises:
        ConfigError: with one entry for each unknown key, wrong type and impossible combination.
    """
    problems = list(document.problems)
    parsed: Model | None = None
    if not isinstance(document.data, dict):
        problems.append(Problem("", 1, f"a mapping of keys expected, not {document.data!r}"))
    else:
        try:
            parsed = model.model_validate(document.data, context=loaded_from(document.path.parent))
            problems += [document.problem(*conflict) for conflict in conflicts(parsed)]
        except ValidationError as error:
            problems += [_problem(document, model, item) for item in _causes(error)]
    if problems or parsed is None:
        raise ConfigError(document.path, sorted(problems, key=lambda p: p.line or 0))
    return parsed


def suggestion(word: str, known: list[str]) -> str:
    """A "did you mean", or the list of what is known where nothing comes near."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(name) for name in near) + "?"
    return "known here: " + ", ".join(sorted(known)) if known else "nothing is known here"


def _causes(error: ValidationError) -> list[dict[str, Any]]:
    """Without "too short" of a list whose items are wrong: pydantic counts the right ones."""
    items: list[dict[str, Any]] = [dict(item) for item in error.errors()]
    places: list[Location] = [item["loc"] for item in items]
    return [
        item
        for item in items
        if item["type"] != "too_short"
        or not any(
            len(p) > len(item["loc"]) and p[: len(item["loc"])] == item["loc"] for p in places
        )
    ]


def _problem(document: Document, model: type[BaseModel], item: dict[str, Any]) -> Problem:
    where = _yaml_location(document.data, item["loc"])
    message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, item["loc"][:-1])
        message = f"unknown key; {suggestion(str(item['loc'][-1]), known)}"
    elif item["type"] == "union_tag_not_found":
        tags = [tag_of(candidate) for candidate in _models_at(model, item["loc"])]
        where = (*where, item["ctx"]["discriminator"].strip("'"))
        message = f"this key is required; {suggestion('', [tag for tag in tags if tag])}"
    elif item["type"] == "missing":
        message = "this key is required"
    elif item["type"] not in ("value_error", "assertion_error") and not isinstance(
        item.get("input"), dict | list
    ):
        message = f"{message[0].lower()}{message[1:]}, not {item.get('input')!r}"
    return document.problem(where, message)


def _yaml_location(data: Any, loc: Location) -> Location:
    """Pydantic's location without the union tags that do not stand in the file."""
    where: list[str | int] = []
    for i, part in enumerate(loc):
        inside = isinstance(data, dict) and part in data
        inside = inside or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if inside:
            where.append(part)
            data = data[part]
        elif i == len(loc) - 1:
            where.append(part)
    return tuple(where)


def _fields_at(model: Any, loc: Location) -> list[str]:
    """Names of the fields pydantic would have taken at a location."""
    names: list[str] = []
    for candidate in _models_at(model, loc):
        # The name of a stage is the key above its fields, never one of them.
        names += [n for n in candidate.model_fields if n not in [*names, "stage"]]
    return names


def _models_at(model: Any, loc: Location) -> list[type[BaseModel]]:
    """The models pydantic would have taken at a location."""
    for part in loc:
        model = _under(model, part)
    return [candidate for candidate in _types_in(model) if _is_model(candidate)]


def _under(model: Any, part: str | int) -> Any:
    """The annotation of a field, or the member of a union that a tag names; else what it was: an
    index into a list leads nowhere else."""
    for candidate in _types_in(model):
        if _is_model(candidate):
            if part in candidate.model_fields:
                return candidate.model_fields[str(part)].annotation
            if tag_of(candidate) == part:
                return candidate
    return model


def _types_in(annotation: Any) -> Iterator[Any]:
    """An annotation and all that it is made of, members of unions from the last on."""
    candidates = [annotation]
    while candidates:
        candidate = candidates.pop()
        yield candidate
        candidates += [a for a in get_args(candidate) if not isinstance(a, str)]


def _is_model(candidate: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def tag_of(model: type[BaseModel]) -> str | None:
    """The value a model's discriminating field must have, if it has one."""
    for field in ("stage", "source"):
        if field in model.model_fields:
            values = get_args(model.model_fields[field].annotation)
            return str(values[0]) if values else None
    return None


def _dotted(where: Location) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _nearest_file(path: Path) -> str | None:
    siblings = {p.stem: str(p) for p in sorted(path.parent.glob(f"*{path.suffix}"))}
    near = difflib.get_close_matches(path.stem, siblings, n=3)
    return f"did you mean {' or '.join(siblings[name] for name in near)}?" if near else None
