"""The plain data of a YAML file, with the line of every key.

What another reader of YAML would read otherwise (010, 1:30) is a problem, not a guess; what would
take for ever to read is refused.
"""

from __future__ import annotations

import codecs
import difflib
import re
from copy import copy
from pathlib import Path
from typing import Any

import yaml

from edgekit.engine.user_files import read_file
from edgekit.errors import ConfigError, InputError, Problem
from edgekit.printable import shortened

Location = tuple[str | int, ...]

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000
"""Of a file, counting what its aliases repeat: ten of ten are a billion."""
MOST_DIGITS = 400
"""Python converts more in time that grows with their square; a double has 309 at most."""
PREFIX = "tag:yaml.org,2002:"
MERGE = f"{PREFIX}merge"
OCTAL = re.compile(r"[-+]?0[0-7_]*[1-7][0-7_]*")
NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
SAID_BY_YAML = {
    "found character '\\t' that cannot start any token": "a tab stands here: indent with spaces",
    "but found another document": "a second document begins here: one a file",
}
"""Sentences of its parser, in words that say what to do."""


class Document:
    """Plain data of a YAML file, the line of every key, and what was wrong already."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Location, int] = {}
        self.written: dict[Location, str] = {}
        """Values that YAML takes for something other than text, as they stand in the file."""
        self.problems: list[Problem] = []
        self._loader = yaml.SafeLoader("")
        self._values = 0
        text = _text(path)
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = self._plain(node, ()) if node is not None else {}
        except RecursionError:
            problem = Problem("", None, "nested too deeply, or an alias that holds itself")
            raise ConfigError(path, [problem]) from None
        except yaml.YAMLError as error:
            raise ConfigError(path, [_problem(error, text)]) from None
        if self.data is None:  # `null` or `~`
            self.data = {}

    def line(self, where: Location) -> int | None:
        """The line of a location, or of the nearest thing that encloses it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def problem(self, where: Location, message: str) -> Problem:
        return Problem(dotted(where), self.line(where), message)

    def section(self, key: str) -> Document:
        """The mapping under a key as a document of its own, with the lines of the whole file."""
        part = copy(self)
        part.data = self.data[key]
        part.problems = []
        part.lines = {where[1:]: line for where, line in self.lines.items() if where[:1] == (key,)}
        part.written = {where[1:]: v for where, v in self.written.items() if where[:1] == (key,)}
        return part

    def _plain(self, node: yaml.Node, where: Location) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise self._refused(
                where, node, f"more than {MOST_VALUES:,} values, counting what aliases repeat"
            )
        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, where)
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != PREFIX + kind:
            tag = node.tag.replace(PREFIX, "!!")
            raise self._refused(where, node, f"the tag {tag} is not read here")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        return [self._plain(item, (*where, i)) for i, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, where: Location) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                message = "a word expected as a key, not a list or a mapping"
                raise self._refused(where, key_node, message)
            if key_node.tag == MERGE:
                raise self._refused(where, key_node, "`<<` is not read here: write its keys out")
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                self.problems.append(
                    Problem(dotted((*where, key)), line, "this key stands here twice")
                )
            self.lines[(*where, key)] = line
            result[key] = self._plain(value_node, (*where, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, where: Location) -> Any:
        written = node.value
        is_number = node.tag in (f"{PREFIX}int", f"{PREFIX}float")
        if is_number and len(written) > MOST_DIGITS:
            message = f"{shortened(written, 20)}: a number of {len(written):,} digits"
            raise self._refused(where, node, message)
        if found := NO_TEXT.search(written):
            message = f"the character {ord(found[0]):#06x} cannot stand in a name or a path"
            self.problems.append(self.problem(where, message))
        try:
            value = self._loader.construct_object(node, deep=True)
        except (ValueError, LookupError, AttributeError) as error:  # the date 2024-13-01, !!bool x
            message = f"{shortened(written)!r}: {error}"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from None
        if not isinstance(value, str):
            self.written[where] = written
        if is_number and node.style is None and (doubt := _doubt(written, value)):
            self.problems.append(self.problem(where, doubt))
        return value

    def _refused(self, where: Location, node: yaml.Node, message: str) -> ConfigError:
        return ConfigError(self.path, [Problem(dotted(where), node.start_mark.line + 1, message)])


def _doubt(written: str, value: int | float) -> str | None:
    """Why a number may not be the one that was meant."""
    if ":" in written:
        return f"YAML reads {written} as {value}, to the base of 60: write {value}, or quote it"
    if OCTAL.fullmatch(written):
        ten = written.replace("_", "").lstrip("+0")
        return f"{written} is {value} in YAML 1.1 and {ten} in YAML 1.2: write which, or quote it"
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"{shortened(written, 20)}: a number of more than 64 bits"
    return None


def dotted(where: Location) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _text(path: Path) -> str:
    """
    Raises:
        InputError: there is no such file, or none of UTF-8.
    """
    try:
        content = read_file(path, MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", hint=nearest_file(path)) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path}: cannot be read: it is UTF-16", hint="save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: cannot be read: line {line} is not UTF-8", hint="save it as UTF-8"
        ) from None


def _problem(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem("", line, f"not valid YAML: the character {error.character:#06x} in it")
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error)
    what = SAID_BY_YAML.get(what, what)
    return Problem("", mark.line + 1 if mark else None, f"not valid YAML: {what}")


def nearest_file(path: Path) -> str | None:
    """Of those that are there: not a link that leads nowhere."""
    try:
        siblings = {
            p.stem: str(p) for p in sorted(path.parent.glob(f"*{path.suffix}")) if p.exists()
        }
    except (OSError, ValueError):
        return None
    near = difflib.get_close_matches(path.stem, siblings, n=3)
    return f"did you mean {' or '.join(siblings[name] for name in near)}?" if near else None
