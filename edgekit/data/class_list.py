"""Files of class names in the order of a model's scores, in the forms that frameworks write.

one name a line             labels.txt
["cat", "dog"]              a list
{"cat": 0, "dog": [1]}      class_to_idx of torchvision, class_indices of Keras
{"0": "cat", "1": "dog"}    id2label; also inside a config.json of Hugging Face
{"0": ["n01440764", "tench"], ...}    imagenet_class_index.json: folders bear the one or other
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.data.labels import same_form
from edgekit.data.sources._text_file import read_text
from edgekit.errors import DataError

KEY = "data.classes"
FORMS = 'one name a line, or JSON: ["cat", "dog"], {"0": "cat", "1": "dog"} or {"cat": 0, "dog": 1}'
INSIDE = ("id2label", "label2id", "class_to_idx", "class_indices", "label_names", "classes")
"""Keys of a config.json and the like, under which the classes stand."""

Indexed = list[tuple[int, str]]


def read_class_list(path: Path, found: set[str], key: str = KEY) -> list[str]:
    """Class names in the order of the scores.

    Args:
        found: the labels of the images. They decide where a list has two names for each class.
        key: of the recipe, or the option, under which the file is named.

    Raises:
        DataError: the file cannot be read, has none of the known forms, or fits two of them.
    """
    text = read_text(path, key)
    if path.suffix.lower() != ".json":
        return _lines(text, found)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{key}: {path} is not valid JSON: {error}") from None
    return _choose(list(_readings(value)), found, path, key)


def _lines(text: str, found: set[str]) -> list[str]:
    # Not splitlines(): a form feed in a name must be seen, and refused.
    lines = [same_form(line.removesuffix("\r")) for line in text.split("\n")]
    # A space at an end belongs to a name only if a class has it.
    return [line if line in found else line.strip() for line in lines if line.strip()]


def _choose(readings: list[Indexed], found: set[str], path: Path, key: str) -> list[str]:
    """The one way to read a file that gives every label a place."""
    if not readings:
        raise DataError(f"{key}: {path} is no list of class names", hint=f"expected {FORMS}")
    orders = _orders(readings)
    if not orders:
        last = len(readings[0]) - 1
        raise DataError(f"{path}: class indices must run from 0 to {last} without gaps")
    fitting = [order for order in orders if found <= set(order)]
    if len(fitting) > 1:
        ways = " or ".join(", ".join(order[:3]) for order in fitting)
        raise DataError(
            f"{key}: {path} can be read in two ways: {ways}",
            hint=f"write the classes as a list: {json.dumps(fitting[0], ensure_ascii=False)}",
        )
    return list((fitting or orders)[0])


def _orders(readings: list[Indexed]) -> list[tuple[str, ...]]:
    """The names by index, of readings without gaps; each order once."""
    whole = [sorted(r) for r in readings if sorted(i for i, _ in r) == list(range(len(r)))]
    return list(dict.fromkeys(tuple(name for _, name in reading) for reading in whole))


def _readings(value: Any) -> Iterator[Indexed]:
    """Every way to read a JSON value as class names, each with its index."""
    if isinstance(value, dict):
        inner = [value[key] for key in INSIDE if isinstance(value.get(key), dict | list)]
        if inner:
            yield from _readings(inner[0])
        else:
            yield from _names_by_index(value)
            yield from _indices_by_name(value)
    elif isinstance(value, list) and value and all(_is_name(entry) for entry in value):
        yield [(i, same_form(str(entry))) for i, entry in enumerate(value)]


def _names_by_index(value: dict[str, Any]) -> Iterator[Indexed]:
    indices = [_index(key) for key in value]
    names = [entry if isinstance(entry, list) else [entry] for entry in value.values()]
    known = [index for index in indices if index is not None]
    if len(known) < len(indices) or not all(isinstance(n, str) for each in names for n in each):
        return
    for column in range(min(map(len, names), default=0)):
        yield [(i, same_form(each[column])) for i, each in zip(known, names, strict=True)]


def _indices_by_name(value: dict[str, Any]) -> Iterator[Indexed]:
    first = [entry[0] if isinstance(entry, list) and entry else entry for entry in value.values()]
    known = [index for index in map(_index, first) if index is not None]
    if value and len(known) == len(value):
        yield [(i, same_form(name)) for i, name in zip(known, value, strict=True)]


def _is_name(entry: Any) -> bool:
    return isinstance(entry, str) or (isinstance(entry, int) and not isinstance(entry, bool))


def _index(entry: Any) -> int | None:
    """
    >>> _index("12"), _index(3), _index("cat"), _index(True), _index("9" * 5000)
    (12, 3, None, None, None)
    """
    if isinstance(entry, str):
        return int(entry) if entry.isdecimal() and len(entry) < 10 else None
    if isinstance(entry, bool) or not isinstance(entry, int | float):
        return None
    return int(entry) if entry == entry // 1 else None
