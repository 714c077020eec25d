"""All images of a source with their digests; what did not change is not read again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekit.data.labels import refuse_control_characters
from edgekit.data.sources.base import Listing, Sample, Source
from edgekit.engine.artifact import digest_of, sha256_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.records import parse_json
from edgekit.errors import DataError, storage_errors

MAX_SHOWN = 5  # file names in a message before "and N more"


@dataclass(frozen=True)
class Inventory:
    """A listing with the sha256 of every image file."""

    listing: Listing
    digests: dict[str, str]
    memory: Path | None = field(default=None, compare=False)
    """The file that keeps the digests of unchanged files between builds."""
    left_out: frozenset[str] = frozenset()
    """Names of listed images that no split takes, as they cannot be read."""

    def forget(self) -> None:
        """Hash every file again in the next build: one was not what the memory said."""
        if self.memory:
            self.memory.unlink(missing_ok=True)

    @property
    def fingerprint(self) -> str:
        """Changes with any image, label, split or class name; not with where they lie."""
        rows = [(s.name, s.label, s.split, self.digests[s.name]) for s in self.listing.samples]
        return digest_of([sorted(rows, key=str), self.listing.classes])


def take_inventory(source: Source, cache: Path) -> Inventory:
    """List a source and hash its files; those whose state on the disk is unchanged are not read.

    The samples are sorted by name: the fingerprint knows no order, so the result must not either.

    Raises:
        DataError: a file is missing or cannot be read, a label or a name contradicts the listing.
    """
    with reading(getattr(source, "path", Path())):
        listing = source.listing()
        # Folder by folder, as paths are sorted: "a b/1" after "a/2".
        ordered = sorted(listing.samples, key=lambda s: s.name.split("/"))
        listing = replace(listing, samples=tuple(ordered))
        missing = [s for s in listing.samples if not s.path.is_file()]
    refuse_control_characters(listing.classes)
    _refuse_contradictions(listing)
    if missing:
        raise DataError(f"{len(missing)} listed images do not exist: {shown(missing)}")
    if len(listing.classes) < 2:
        one = "".join(listing.classes)
        raise DataError(
            f"{len(listing.classes)} class found: {one!r}; at least 2 expected",
            hint=f"is the path one folder too high? {one} was taken for the class of all images",
        )
    folders = sorted({str(sample.path.parent.resolve()) for sample in listing.samples})
    settings = source.model_dump(mode="json")
    memory = cache / f"{digest_of([settings, folders])[:16]}.json"
    return Inventory(listing, _digests(listing.samples, memory), memory)


def _digests(samples: tuple[Sample, ...], memory: Path) -> dict[str, str]:
    """sha256 by sample name, read from `memory` where the file's state is as it was then.

    Raises:
        DataError: a file cannot be read.
        StorageError: the memory cannot be written.
    """
    known = _remembered(memory)
    states = {sample.path: _state(sample.path) for sample in samples}
    changed = [p for p, state in states.items() if known.get(str(p), [])[:-1] != state]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hashed = dict(zip(changed, pool.map(_digest, changed), strict=True))
    fresh = {
        str(path): [*state, hashed.get(path) or known[str(path)][-1]]
        for path, state in states.items()
    }
    if fresh != known:
        with storage_errors(memory.parent):
            write_atomically(memory, json.dumps(fresh))
    return {sample.name: str(fresh[str(sample.path)][-1]) for sample in samples}


def _remembered(memory: Path) -> dict[str, list[Any]]:
    """What was written last; what is damaged is hashed again."""
    try:
        rows = parse_json(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    whole = rows.items() if isinstance(rows, dict) else ()
    return {name: row for name, row in whole if isinstance(row, list) and row}


def _state(path: Path) -> list[int]:
    """What tells a changed file: the inode and its change time too, as copies can set the rest."""
    with reading(path):
        stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _digest(path: Path) -> str:
    with reading(path):
        return sha256_of(path)


def _refuse_contradictions(listing: Listing) -> None:
    paths: dict[str, Path] = {}
    for sample in listing.samples:
        if sample.label not in listing.classes:
            raise DataError(f"{sample.path} bears the label {sample.label!r}, which is no class")
        if paths.setdefault(sample.name, sample.path) != sample.path:
            raise DataError(
                f"two images have the name {sample.name}: {paths[sample.name]} and {sample.path}"
            )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name what the operating system refuses to read; that it is absent is another matter.

    Raises:
        DataError: with the file and the system's reason.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror}",
            hint="allow it to be read, or remove it from the data",
        ) from error


def shown(samples: list[Sample]) -> str:
    names = ", ".join(str(s.path) for s in samples[:MAX_SHOWN])
    return names + (f" and {len(samples) - MAX_SHOWN} more" if len(samples) > MAX_SHOWN else "")


def rank(seed: object, digest: str) -> str:
    """A place in an order that follows from the content alone."""
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()
