"""The builds and device reports that lie below a folder, and the pages of theirs that may be shown.

A page is served because a folder lists it, and for no name that a request brings. Links are not
followed, so that all of it lies below the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from edgekit.build_folder.reading import ON_DEVICE, REPORT, REPORT_KEYS, read_report
from edgekit.comparison.locate import read_device_report
from edgekit.devices.bench.validate_on_device import DEVICE_REPORT
from edgekit.engine.records import BadRecord, parse_json
from edgekit.errors import EdgekitError
from edgekit.history.entry import Entry, of_build, of_device_report
from edgekit.printable import one_line, shortened

MAX_FOLDERS = 20_000
"""Looked into; a home folder has more, and nobody would wait for it."""
MAX_BYTES = 200_000_000
"""Of a report: one on 50,000 images has about 5 million."""
PAGES = {REPORT: "report.html", DEVICE_REPORT: "device-report.html"}
"""What a person reads of each report, beside it."""


@dataclass(frozen=True)
class Item:
    """A build of a target, or a run on a device."""

    folder: Path
    path: str
    """The folder's, as pages show it."""
    made: str
    entry: Entry

    @property
    def name(self) -> str:
        entry = self.entry
        if entry.kind == "build":
            return f"{entry.recipe} for {entry.target}"
        return f"{entry.variant} on {entry.device}"


@dataclass(frozen=True)
class Unreadable:
    """A report that is edgekit's, and what keeps it from being read."""

    why: str


@dataclass
class Found:
    """Paths are below the folder that is served, and as pages show them: a name on a disk may hold
    bytes that no page can."""

    items: list[Item] = field(default_factory=list)
    """Newest first."""
    pages: dict[str, Path] = field(default_factory=dict)
    """By their paths."""
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


def find_at(root: Path, path: str) -> Found:
    """The same of a single folder, without a look at the others; nothing where there is none.

    Args:
        path: the folder's, as pages show it. It only chooses among what folders list.
    """
    found, folder = Found(), root
    with suppress(OSError):
        for part in path.split("/") if path != "." else []:
            below = {_shown(e.name): e for e in os.scandir(folder) if not e.name.startswith(".")}
            if part not in below or not below[part].is_dir(follow_symlinks=False):
                return found
            folder = folder / below[part]
        for name in PAGES:
            if _is_file(folder / name):
                _add(found, root, folder / name)
    return found


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Each folder that is neither hidden nor a link, and which reports and pages lie in it as files
    of its own."""
    for folder, below, names in os.walk(root, followlinks=False):
        below[:] = sorted(n for n in below if not n.startswith("."))
        here = Path(folder)
        yield here, {n for n in names if n in _NAMES and _is_file(here / n)}


_NAMES = {*PAGES, *PAGES.values()}


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _shown(path: Path | str) -> str:
    """Without line breaks too: a form sends others than it was given."""
    return one_line(os.fspath(path))


def _add(found: Found, root: Path, report: Path) -> None:
    path, place = (_shown(each.relative_to(root)) for each in (report, report.parent))
    try:
        status = report.stat()
        # Who may read it changes the time of change (ctime) alone.
        item = _read(report, place, status.st_ctime_ns, status.st_size)
    except OSError as error:
        found.unreadable[path] = error.strerror or type(error).__name__
        return
    if isinstance(item, Unreadable):
        found.unreadable[path] = item.why.replace(f"{root}{os.sep}", "")
        return
    page = report.with_name(PAGES[report.name])
    if item and _is_file(page):
        found.pages[_shown(page.relative_to(root))] = page
    # Of a build on a device each row has one; the build's own page leads there.
    if ON_DEVICE not in report.parts[len(root.parts) :] and item:
        found.items.append(item)


@lru_cache(maxsize=4096)
def _read(report: Path, place: str, changed_ns: int, size: int) -> Item | Unreadable | None:
    """
    Args:
        place: of its folder, as pages show it.
        changed_ns, size: a report that has changed since is read anew.

    Returns:
        None of a report without a row, and of another tool's.
    """
    if size > MAX_BYTES:
        return Unreadable(f"it has {size:,} bytes, at most {MAX_BYTES:,} are read")
    try:
        return _item(report, place)
    except EdgekitError as error:
        return Unreadable(error.message) if _is_edgekits(report) else None
    except ValueError as error:  # what it says has no place in a row of the list
        return Unreadable(shortened(one_line(str(error))))


def _item(report: Path, place: str) -> Item | None:
    if report.name == DEVICE_REPORT:
        run = read_device_report(report)
        entry = of_device_report(run, place, None).entry
        return Item(report.parent, place, run.identity.started, entry)
    build = read_report(report.parent)
    if build is None or not build.rows:
        return None
    return Item(report.parent, place, build.created, of_build(build, place, None).entry)


def _is_edgekits(report: Path) -> bool:
    """Many a tool writes a report.json."""
    if report.name == DEVICE_REPORT:
        return True
    try:
        fields = parse_json(report.read_bytes())
    except (OSError, BadRecord):
        return False
    return isinstance(fields, dict) and fields.keys() >= REPORT_KEYS
