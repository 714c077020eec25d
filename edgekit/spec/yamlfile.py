"""Read a YAML file into a pydantic model; report every problem at once, with its line."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from edgekit.engine.user_paths import loaded_from
from edgekit.errors import ConfigError, Problem
from edgekit.printable import shortened
from edgekit.spec.wrong_value import wrong_value
from edgekit.spec.yaml_document import Document, Location

Model = TypeVar("Model", bound=BaseModel)
Item = dict[str, Any]
"""What pydantic says of one value."""
REQUIRED = "this key is required"
MOST_PROBLEMS = 100
"""That words are found for: of a file of another kind every line is one."""


NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]*")


def named_document(path: Path, note: Callable[[str], None] = lambda line: None) -> Document:
    """A file whose `name`, unless it gives one, is that of the file, as far as one can name a
    folder, on any device.

    Args:
        note: takes a line for the user where it is another.
    """
    document = Document(path)
    if isinstance(document.data, dict) and "name" not in document.data:
        name = path.stem
        if not NAME.fullmatch(name):
            letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
            name = re.sub("[^A-Za-z0-9_.]+", "-", letters).strip("-.") or name
            note(f"{path} is called {name}; the key `name` can give another")
        document.data = {"name": name, **document.data}
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
        given = shortened(repr(document.data))
        problems.append(Problem("", 1, f"a mapping of keys expected, not {given}"))
    else:
        try:
            parsed = model.model_validate(document.data, context=loaded_from(document.path.parent))
            problems += [document.problem(*conflict) for conflict in conflicts(parsed)]
        except ValidationError as error:
            told = {problem.where for problem in problems}
            found = _problems(document, model, error)
            problems += [problem for problem in found if problem.where not in told]
    if problems or parsed is None:
        raise ConfigError(document.path, sorted(problems, key=lambda p: p.line or 0))
    return parsed


def suggestion(word: str, known: list[str]) -> str:
    """A "did you mean", or the list of what is known where nothing comes near."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(name) for name in near) + "?"
    return "known here: " + ", ".join(sorted(known)) if known else "nothing is known here"


def _problems(document: Document, model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """One for each place: what each member of a union says of it is one problem."""
    places: dict[Location, list[Item]] = defaultdict(list)
    for item in error.errors(include_url=False)[:MOST_PROBLEMS]:
        places[_yaml_location(document.data, dict(item))].append(dict(item))
    # Of a list or a mapping that holds something wrong, that is the problem: pydantic counts the
    # right items alone, and names the other members of a union.
    inner = {where[:i] for where in places for i in range(len(where))}
    return [
        _problem(document, model, where, items)
        for where, items in places.items()
        if where not in inner or not isinstance(items[0].get("input"), dict | list)
    ]


def _problem(
    document: Document, model: type[BaseModel], where: Location, items: list[Item]
) -> Problem:
    item = items[0]
    known = _fields_at(model, item["loc"])
    if item["type"] in ("value_error", "assertion_error"):
        message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    elif item["type"] == "extra_forbidden":
        known = _fields_at(model, item["loc"][:-1])
        message = f"unknown key; {suggestion(shortened(str(item['loc'][-1])), known)}"
    elif item["type"] == "union_tag_not_found":
        tags = [tag_of(candidate) for candidate in _models_at(model, item["loc"])]
        where = (*where, item["ctx"]["discriminator"].strip("'"))
        message = f"{REQUIRED}; {suggestion('', [tag for tag in tags if tag])}"
    elif item["type"] == "missing" and isinstance(where[-1], str):
        message = REQUIRED
    else:
        message = wrong_value(items, document.written.get(where), known)
    return document.problem(where, message)


def _yaml_location(data: Any, item: Item) -> Location:
    """Pydantic's location without the names of union members, which do not stand in the file."""
    where: list[str | int] = []
    for part in item["loc"]:
        if _holds(data, part):
            where.append(part)
            data = data[part]
    if _lacks_last_key(data, where, item):
        where.append(item["loc"][-1])
    return tuple(where)


def _holds(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _lacks_last_key(data: Any, where: list[str | int], item: Item) -> bool:
    """Does pydantic's location end with a key that should stand in `data`, at `where`, and does
    not? Of a list it is the list that is too short."""
    last = item["loc"][-1] if item["loc"] else 0
    if not isinstance(last, str) or last in where[-1:]:
        return False
    # Of `- finetune` alone there is no mapping either.
    if item["type"] == "missing":
        return True
    return isinstance(data, dict) and item["type"] in ("value_error", "assertion_error")


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
