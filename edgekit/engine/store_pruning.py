"""What a store holds, and how it becomes smaller: what no step has used for a while is removed.

A step's entry is touched when its result is taken, at most once a day. Nothing younger than two
days is removed, so that no build loses what it works with.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgekit.engine.records import parse_json
from edgekit.engine.store import DAY, UNREADABLE, Store
from edgekit.errors import InputError, storage_errors

LEAST_DAYS = 2


@dataclass(frozen=True)
class StoreUse:
    """Steps and objects, and the bytes of these objects."""

    steps: int
    objects: int
    bytes: int


def use_of(store: Store) -> StoreUse:
    """All that a store holds of finished steps.

    Raises:
        StorageError: it cannot be read.
    """
    with storage_errors(store.root):
        objects = [*_objects(store)]
        return StoreUse(len([*_entries(store)]), len(objects), sum(map(_size, objects)))


def prune(store: Store, days: float, dry_run: bool = False) -> StoreUse:
    """Remove steps whose results nobody has taken for so many days, then the objects that no step
    that is left leads to, and trainings that were stopped as long ago.

    Args:
        dry_run: say what would be removed, and remove nothing.

    Returns:
        what was removed.

    Raises:
        InputError: fewer than two days.
        StorageError: the store cannot be read or written.
    """
    if not days >= LEAST_DAYS:  # NaN too
        raise InputError(
            f"{days:g} days: builds may be at what is younger than {LEAST_DAYS} days",
            hint=f"from {LEAST_DAYS} days on; what no build is at may be deleted by hand",
        )
    before = time.time() - days * DAY
    with storage_errors(store.root):
        unused, led_to = [], set()
        for entry in _entries(store):
            if _is_older(entry, before):
                unused.append(entry)
            else:
                led_to.add(_digest(entry))
        objects = [o for o in _objects(store) if o.name not in led_to and _is_older(o, before)]
        found = StoreUse(len(unused), len(objects), sum(map(_size, objects)))
        if not dry_run:
            for entry in unused:
                entry.unlink(missing_ok=True)
            for one in objects:
                with store.lock(one.name):
                    if _is_older(one, before):  # somebody may have made the same again meanwhile
                        _remove(store, one)
            for one in _stopped(store, before):
                _remove(store, one)
    return found


def _entries(store: Store) -> Iterator[Path]:
    return (store.root / "steps").glob("*.json")


def _objects(store: Store) -> Iterator[Path]:
    return (store.root / "objects").glob("*")


def _stopped(store: Store, before: float) -> Iterator[Path]:
    """What long steps left to go on from."""
    return (p for p in (store.root / "partial").glob("*") if _newest(p) < before)


def _newest(folder: Path) -> float:
    times = [0.0]
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:  # another command removed it meanwhile
        return False


def _digest(entry: Path) -> str:
    """Of the object that it leads to; empty where it cannot be read, and leads to none."""
    try:
        return str(parse_json(entry.read_bytes())["digest"])
    except UNREADABLE:
        return ""


def _size(one: Path) -> int:
    total = 0
    for path in one.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _remove(store: Store, folder: Path) -> None:
    """At once for whoever looks, then at leisure: half an object is never found."""
    with store.workspace() as aside, suppress(FileNotFoundError):
        folder.rename(aside / "pruned")
        shutil.rmtree(aside / "pruned", ignore_errors=True)
