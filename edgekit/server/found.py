"""The builds and device reports that lie below a folder, and the pages of theirs that may be shown.

A page is served because it is in this list, and for no name that a request brings. Links are not
followed, so that all of it lies below the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from edgekit.build_folder.reading import ON_DEVICE, REPORT, REPORT_KEYS, read_report
from edgekit.comparison.locate import read_device_report
from edgekit.devices.bench.validate_on_device import DEVICE_REPORT
from edgekit.engine.records import BadRecord, parse_json
from edgekit.errors import InputError
from edgekit.history.entry import Entry, of_build, of_device_report

MAX_FOLDERS = 20_000
"""Looked into; a home folder has more, and nobody would wait for it."""
MAX_BYTES = 200_000_000
"""Of a report: one on 50,000 images has about 5 million."""
PAGES = {REPORT: "report.html", DEVICE_REPORT: "device-report.html"}
"""What a person reads of each report, beside it."""


@dataclass(frozen=True)
class Item:
    """A build of a target, or a run on a device."""

    path: str
    """Of its folder, below the one that is served."""
    made: str
    entry: Entry

    @property
    def name(self) -> str:
        entry = self.entry
        if entry.kind == "build":
            return f"{entry.recipe} for {entry.target}"
        return f"{entry.variant} on {entry.device}"


@dataclass
class Found:
    items: list[Item] = field(default_factory=list)
    """Newest first."""
    pages: dict[str, Path] = field(default_factory=dict)
    """By their paths below the folder."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why a report cannot be read, by its path."""
    is_whole: bool = True
    """Every folder was looked into."""

    def item(self, path: str) -> Item | None:
        return next((item for item in self.items if item.path == path), None)


def find(root: Path) -> Found:
    """
    Args:
        root: the folder that is served.
    """
    found = Found()
    for number, (folder, names) in enumerate(_folders(root)):
        if number == MAX_FOLDERS:
            found.is_whole = False
            break
        for name in PAGES.keys() & names:
            _add(found, root, folder / name)
    found.items.sort(key=lambda item: (item.made, item.path), reverse=True)
    return found


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Each with the names of its own files: none that is a link, hidden or beyond another disk's
    end."""
    for folder, below, names in os.walk(root, followlinks=False):
        below[:] = sorted(n for n in below if not n.startswith("."))
        here = Path(folder)
        yield here, {n for n in names if n in _NAMES and _is_file(here / n)}


_NAMES = {*PAGES, *PAGES.values()}


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _add(found: Found, root: Path, report: Path) -> None:
    path, place = report.relative_to(root).as_posix(), report.parent.relative_to(root).as_posix()
    try:
        status = report.stat()
        if status.st_size > MAX_BYTES:
            raise InputError(f"it has {status.st_size:,} bytes, at most {MAX_BYTES:,} are read")
        item = _read(report, place, status.st_mtime_ns, status.st_size)
    except OSError as error:
        found.unreadable[path] = error.strerror or type(error).__name__
        return
    except InputError as error:
        if status.st_size > MAX_BYTES or _is_edgekits(report):
            found.unreadable[path] = error.message.replace(f"{root}{os.sep}", "")
        return
    page = report.with_name(PAGES[report.name])
    if _is_file(page):
        found.pages[page.relative_to(root).as_posix()] = page
    # Of a build on a device each row has one; the build's own page leads there.
    if ON_DEVICE not in report.parts[len(root.parts) :] and item:
        found.items.append(item)


@lru_cache(maxsize=4096)
def _read(report: Path, place: str, changed_ns: int, size: int) -> Item | None:
    """
    Args:
        changed_ns, size: another report of this name is read anew.

    Returns:
        None of a report without a row.
    """
    if report.name == DEVICE_REPORT:
        run = read_device_report(report)
        return Item(place, run.identity.started, of_device_report(run, place, None).entry)
    build = read_report(report.parent)
    if build is None or not build.rows:
        return None
    return Item(place, build.created, of_build(build, place, None).entry)


def _is_edgekits(report: Path) -> bool:
    """Many a tool writes a report.json."""
    if report.name == DEVICE_REPORT:
        return True
    try:
        fields = parse_json(report.read_bytes())
    except (OSError, BadRecord):
        return False
    return isinstance(fields, dict) and fields.keys() >= REPORT_KEYS
