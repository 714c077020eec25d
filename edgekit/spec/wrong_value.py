"""What is wrong with a value of a YAML file and what to write, in words for who wrote the file."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from edgekit.printable import shortened

WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "path_type": "a path",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys below it",
    "model_type": "keys below it",
    "model_attributes_type": "keys below it",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
}
"""By pydantic's types of errors; a limit stands in their context."""
PATTERNS = {
    "^[A-Za-z0-9_][A-Za-z0-9_.-]*$": "a name of the letters a to z, digits, `_`, `-` and `.`",
    "^[a-z0-9-]+==[0-9.]+$": "a package and its version, e.g. tflite-runtime==2.14.0,",
    r"^[\w.]+:\w+$": "module:function",
    r"^[^-\s]\S*$": "a name without spaces, not beginning with -,",
    "^/": "an absolute path",
}
NUMBERS = ("a whole number", "a number", "a finite number")
KINDS = {bool: "true or false", int: "a number", float: "a number", datetime.date: "a date",
         datetime.datetime: "a time", bytes: "bytes"}  # fmt: skip


def wrong_value(
    items: Sequence[Mapping[str, Any]], written: str | None = None, known: Sequence[str] = ()
) -> str:
    """
    Args:
        items: what pydantic says of the value, an entry for each member of a union.
        written: the value as it stands in the file, where YAML takes it for something but text.
        known: the keys that may stand below it.
    """
    wanted = list(dict.fromkeys(_wanted(item) for item in items))
    value = items[-1]["input"] if items[-1]["type"] != "missing" else items[0]["input"]
    expected = " or ".join(wanted) + " expected"
    if "keys below it" in wanted and known:
        expected += f" ({', '.join(known)})"
    return f"{expected}, {_given(value, written, wanted)}"


def _wanted(item: Mapping[str, Any]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "missing":  # of a list of a fixed length
        return f"a list of {item['loc'][-1] + 1}"
    if context.get("pattern") in PATTERNS:
        return PATTERNS[context["pattern"]]
    if kind in WANTED:
        return WANTED[kind].format(**context)
    words = str(item["msg"]).removeprefix("Input should be ")
    return words[:1].lower() + words[1:]


def _given(value: Any, written: str | None, wanted: Sequence[str]) -> str:
    """What stands there instead, and what to write if that is plain."""
    if value is None:
        return "and nothing stands here"
    if isinstance(value, dict):
        advice = ": write `- ` before each" if "a list" in wanted else ""
        return f"not keys below it{advice}"
    if isinstance(value, list | tuple):
        return _given_list(value, wanted)
    if isinstance(value, str):
        return f"not {shortened(value)!r}{_without_quotes(value, wanted)}"
    return _given_by_yaml(value, shortened(written or str(value)), wanted)


def _given_list(value: Sequence[Any], wanted: Sequence[str]) -> str:
    if any(w.startswith("a list of") for w in wanted):
        return f"not {len(value)}"
    is_one = len(value) == 1 and isinstance(value[0], str | int | float)
    alone = is_one and "keys below it" not in wanted
    return "not a list" + (f": write {_as_yaml(value[0])}" if alone else "")


def _given_by_yaml(value: Any, shown: str, wanted: Sequence[str]) -> str:
    """Of what YAML takes for a number, a date or the like: what it makes of it may surprise."""
    if "text" in wanted or "a path" in wanted:
        kind = KINDS.get(type(value), "something else")
        return f"and YAML reads {shown} as {kind}: write '{shown}' in quotes"
    if isinstance(value, bool) and shown.lower() not in ("true", "false"):
        return f"and YAML reads {shown} as {str(value).lower()}"
    if isinstance(value, float) and value.is_integer() and "a whole number" in wanted:
        return f"not {shown}: write {int(value)}"
    return f"not {shown}"


def _without_quotes(value: str, wanted: Sequence[str]) -> str:
    """What to write instead of a text that is meant for something else."""
    if "true or false" in wanted and value.lower() in ("true", "false"):
        return f": write {value.lower()} without quotes"
    number = _number(value)
    if number is not None and any(one in wanted for one in NUMBERS):
        return f", which YAML reads as text: write {_as_yaml(number)}"
    return f": write [{_as_yaml(shortened(value))}]" if "a list" in wanted else ""


def _number(text: str) -> int | float | None:
    """What JSON and YAML 1.2 read as a number, and a number in quotes."""
    if not re.fullmatch(r"[-+]?[0-9a-fox_.]+([eE][-+]?[0-9]+)?", text):
        return None
    try:
        number = float(text)
    except ValueError:
        try:
            return int(text, 0)
        except ValueError:
            return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("...\n").strip()
