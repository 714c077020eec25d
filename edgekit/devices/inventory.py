"""The inventory: which devices there are and how to reach them, in a file a person can edit.

    # ~/.config/edgekit/devices.yaml
    pi5: {transport: ssh, host: pi@raspberrypi.local}
    phone: {transport: adb, serial: R58M123}
    a76: {transport: emulated, cpu: cortex-a76}

No passwords stand in it: ssh has its agent and its configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from edgekit.discovery import find
from edgekit.engine.atomic import need_file, write_atomically
from edgekit.engine.user_paths import at_home
from edgekit.errors import ConfigError, InputError, Problem, StorageError
from edgekit.spec.yaml_document import Document
from edgekit.spec.yamlfile import parse, suggestion
from edgekit.transports.base import Transport

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
NOT_BY_LINES = "is written in a form that cannot be changed line by line"
UNREADABLE = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    AttributeError,
    RecursionError,
    StopIteration,
)
"""What PyYAML ends in, of a date such as 2024-13-01 or a tag that fits no value."""
HEADER = "# The devices of edgekit; see `edgekit device --help`. No passwords belong here.\n"


@cache
def find_transports() -> dict[str, type[Transport]]:
    return find("edgekit.transports", Transport)


def inventory_path() -> Path:
    """$EDGEKIT_DEVICES, else edgekit/devices.yaml in the user's configuration folder.

    Raises:
        InputError: it begins with ~ and names nobody's home.
    """
    if chosen := os.environ.get("EDGEKIT_DEVICES"):
        try:
            return at_home(Path(chosen))
        except ValueError as error:
            raise InputError(f"EDGEKIT_DEVICES: {error}") from None
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "edgekit" / "devices.yaml"


def read_inventory(path: Path | None = None) -> dict[str, Transport]:
    """All devices by name; none where there is no file yet.

    Raises:
        ConfigError: every problem in the file, each with its line.
    """
    path = path or inventory_path()
    if not path.exists() or path.samefile(os.devnull):
        return {}
    document = Document(path)
    if not isinstance(document.data, dict):
        message = f"a mapping of device names expected, not {document.data!r}"
        raise ConfigError(path, [Problem("", 1, message)])
    problems = list(document.problems)
    devices = {}
    for name in document.data:
        try:
            devices[name] = _entry(document, name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(path, sorted(problems, key=lambda problem: problem.line or 0))
    return devices


def find_device(name: str, path: Path | None = None) -> Transport:
    """
    Raises:
        InputError: no such device, with those there are.
    """
    path = path or inventory_path()
    devices = read_inventory(path)
    if name not in devices:
        raise InputError(
            f"no device {name!r} in {path}; {suggestion(name, list(devices))}",
            hint=f"edgekit device add {name} --ssh user@host, or --local for this machine",
        )
    return devices[name]


def find_group(group: str, path: Path | None = None) -> list[str]:
    """The names of a group's devices, in the order of the file.

    Raises:
        InputError: nobody belongs to it, with the groups there are.
    """
    path = path or inventory_path()
    devices = read_inventory(path)
    found = [name for name, transport in devices.items() if group in transport.groups]
    if not found:
        known = sorted({name for transport in devices.values() for name in transport.groups})
        raise InputError(
            f"no device of {path} is in the group {group!r}; {suggestion(group, known)}",
            hint=f"write `groups: [{group}]` into the entries of its devices",
        )
    return found


def check_name(name: str, path: Path | None = None) -> None:
    """
    Raises:
        InputError: the name is taken, or is none.
    """
    path = path or inventory_path()
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name: letters, digits, `_`, `-` and `.` expected")
    if name in read_inventory(path):
        raise InputError(
            f"there is a device {name!r} in {path} already",
            hint=f"edgekit device remove {name}, or choose another name",
        )


def add_device(name: str, transport: Transport, path: Path | None = None) -> None:
    """Write one more entry; comments and the order of the file stay.

    Raises:
        InputError: the name is taken, or is none.
    """
    path = path or inventory_path()
    entry = {"transport": transport.transport, **transport.model_dump(exclude_defaults=True)}
    line = yaml.safe_dump(
        {name: entry}, default_flow_style=None, sort_keys=False, width=10_000, allow_unicode=True
    )
    with _locked(path):
        check_name(name, path)
        before = _text(path) or HEADER
        after = before + ("" if before.endswith("\n") else "\n") + line
        with _by_lines(path):
            expected = {**_loaded(before), name: entry}
        _write(path, after, expected, f"add this line: {line.strip()}")


def remove_device(name: str, path: Path | None = None) -> None:
    """Delete an entry; all else of the file stays as it is, other entries' mistakes too.

    Raises:
        InputError: no such device.
    """
    path = path or inventory_path()
    with _locked(path):
        before = _text(path)
        data = Document(path).data if before else {}
        names = list(data) if isinstance(data, dict) else []
        if name not in names:
            raise InputError(f"no device {name!r} in {path}; {suggestion(name, names)}")
        with _by_lines(path):
            first, last = _lines_of(name, before)
            known = _loaded(before)
        lines = before.splitlines(keepends=True)
        after = "".join(lines[:first] + lines[last + 1 :])
        expected = {other: entry for other, entry in known.items() if other != name}
        _write(path, after, expected, f"delete lines {first + 1} to {last + 1}")


def _entry(document: Document, name: str) -> Transport:
    problems = []
    entry = document.data[name]
    if not NAME.fullmatch(name):
        message = "no name of a device: letters, digits, `_`, `-` and `.` expected"
        problems.append(document.problem((name,), message))
    known = find_transports()
    if not isinstance(entry, dict):
        message = f"a mapping expected, e.g. {{transport: ssh, host: pi@host}}, not {entry!r}"
        problems.append(document.problem((name,), message))
    elif "transport" not in entry:
        message = f"the key transport is required; {suggestion('', list(known))}"
        problems.append(document.problem((name,), message))
    elif str(entry["transport"]) not in known:
        message = f"no transport {entry['transport']!r}; "
        message += suggestion(str(entry["transport"]), list(known))
        problems.append(document.problem((name, "transport"), message))
    if problems:
        raise ConfigError(document.path, problems)
    try:
        return parse(document.section(name), known[entry["transport"]])
    except ConfigError as error:
        problems = [Problem(f"{name}.{p.where}", p.line, p.message) for p in error.problems]
        raise ConfigError(document.path, problems) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    need_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            yield
    except OSError as error:
        raise StorageError(
            f"cannot write to {path}: {error.strerror}",
            hint="name another file with the variable EDGEKIT_DEVICES",
        ) from error


@contextmanager
def _by_lines(path: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise InputError(f"{path} {NOT_BY_LINES}", hint="change it by hand") from error


def _text(path: Path) -> str:
    """
    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _write(path: Path, after: str, expected: dict[str, Any], by_hand: str) -> None:
    """Write the file if, read as YAML, it says what is expected and no more: a file in a form that
    does not go by lines (one brace around all) is left to its owner."""
    try:
        same = _loaded(after) == expected
    except UNREADABLE:
        same = False
    if not same:
        raise InputError(f"{path} {NOT_BY_LINES}", hint=f"by hand: {by_hand}")
    # A link, as to a folder of dot files, stays one.
    write_atomically(path.resolve(), after)


def _loaded(text: str) -> dict[str, Any]:
    entries = yaml.safe_load(text) or {}
    if not isinstance(entries, dict):
        raise yaml.YAMLError("no mapping")
    return {str(name): entry for name, entry in entries.items()}


def _lines_of(name: str, text: str) -> tuple[int, int]:
    """The first and the last line of an entry, from 0."""
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    key, value = next(pair for pair in root.value if str(pair[0].value) == name)
    return key.start_mark.line, _last_line(value)


def _last_line(node: yaml.Node) -> int:
    """The last line of a value; the end of a block is after the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    end: yaml.Mark = node.end_mark
    return end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line
