"""The store that keeps artifacts.

The store is content-addressed and shared by every build of a user:

    objects/<digest>/      the files of an artifact and its artifact.json, read-only
    steps/<key>.json       which artifact a step's key led to; written last, so a step that
                           was killed has no entry and failures are never cached
    partial/<key>/         what a long step leaves to resume from (a training checkpoint)
    locks/<key>.lock       held while a step runs: a second build waits and takes its result;
                           locks/<digest>.lock while an object is put in its place
    temp/                  work in progress, renamed into objects/ once it is whole; beside each
                           folder its .lock, held while its build lives
    history.sqlite         what became of builds, which nothing makes again: see edgekit/history/
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from edgekit.engine.artifact import (
    RECORD,
    Artifact,
    FileEntry,
    Metadata,
    digest_of,
    record_of,
    sha256_of,
)
from edgekit.engine.atomic import permitted, sweep, write_atomically
from edgekit.engine.records import parse_json
from edgekit.engine.user_paths import at_home
from edgekit.errors import InputError, IntegrityError, storage_errors

DAY = 86_400.0
"""Seconds. So seldom a step's result is noted as used."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""Of an entry or a record that was damaged; ValueError is pydantic's as well."""


class Store:
    """The cache on disk. Safe for two builds at once and for kill -9 at any moment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._is_swept = False

    def find(self, key: str) -> Artifact | None:
        """The artifact a step's key led to, or None if the step has not run to its end.

        A step entry or a record that is no longer readable is one that is not there: the step
        runs again. A record that can be read is believed until the artifact is verified.
        """
        try:
            with storage_errors(self.root):
                path = self._step(key)
                entry = parse_json(path.read_bytes())
                found = self._read(entry["digest"], entry["seconds"])
                _note_use(path)
                return found
        except UNREADABLE:
            return None

    def get(self, digest: str) -> Artifact | None:
        """The artifact with a digest, or None if it is not here, or no longer readable."""
        try:
            with storage_errors(self.root):
                return self._read(digest)
        except UNREADABLE:
            return None

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Held by the build that runs the step `key`.

        Args:
            waiting: called once where another build holds it.
        """
        with storage_errors(self.root):
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            path = self.root / "locks" / f"{key}.lock"
            lock = FileLock(path, mode=permitted(0o666))
            try:
                held = lock.acquire(timeout=0)
            except Timeout:
                waiting()
                held = lock.acquire()
            with held:
                yield

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A fresh folder that is gone afterwards, whatever happened."""
        with storage_errors(self.root):
            (self.root / "temp").mkdir(parents=True, exist_ok=True)
            self._sweep()
            folder = self.root / "temp" / uuid.uuid4().hex
            # Locked before it is made, so that no other build ever finds it without its lock.
            with _only_user(folder):
                folder.mkdir()
                try:
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what builds left that were killed: nobody holds the lock of their folder.

        A process number would not tell: a build in another container has its own numbers.
        """
        for folder in (self.root / "temp").iterdir():
            if folder.is_dir():
                with suppress(Timeout, PermissionError), _only_user(folder):
                    shutil.rmtree(folder, ignore_errors=True)
        if not self._is_swept:  # it reads the names of all steps, which may be 100,000
            self._is_swept = True
            sweep(self.root / "steps")

    def partial(self, key: str, parents: tuple[str, ...] = (), fresh: bool = False) -> Path:
        """Where a long step may leave what it needs to resume; dropped once it is done.

        Args:
            parents: digests of its inputs: of other ones nothing is resumed.
            fresh: nothing is resumed at all.
        """
        place = self.root / "partial" / key
        folder = place / digest_of(parents)
        with storage_errors(self.root):
            for other in place.glob("*"):
                if fresh or other != folder:
                    shutil.rmtree(other) if other.is_dir() else other.unlink()
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def commit(
        self, key: str, folder: Path, metadata: Metadata, parents: tuple[str, ...], seconds: float
    ) -> Artifact:
        """Move a finished workspace into the store and record that `key` leads to it.

        Raises:
            StorageError: the disk is full, or the store cannot be written.
            IntegrityError: it was removed while it was being stored.
        """
        with storage_errors(self.root):
            files = {
                str(p.relative_to(folder)): FileEntry(sha256=sha256_of(p), bytes=p.stat().st_size)
                for p in sorted(folder.rglob("*"))
                if p.is_file()
            }
            record = record_of(files, metadata.record(), parents)
            digest = digest_of(record)
            (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
            self._publish(folder, digest)
            entry = {"digest": digest, "seconds": round(seconds, 3)}
            write_atomically(self._step(key), json.dumps(entry), swept=True)
            shutil.rmtree(self.root / "partial" / key, ignore_errors=True)
        found = self.find(key)
        if found is None:
            raise IntegrityError(f"{self._object(digest)} vanished while it was being stored")
        return found

    def _publish(self, folder: Path, digest: str) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                _flush(path)
            path.chmod(permitted(0o444 if path.is_file() else 0o777))
        destination = self._object(digest)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with self.lock(digest):
            # Another build, or an earlier one whose step entry was lost, made the same thing.
            if self._is_whole(digest):
                with suppress(OSError):
                    os.utime(destination)  # it is in use again, though no step leads to it yet
                return
            with self.workspace() as aside:
                if destination.exists():
                    destination.rename(aside / "corrupt")
                folder.rename(destination)

    def _is_whole(self, digest: str) -> bool:
        try:
            self._read(digest).verify()
        except (*UNREADABLE, IntegrityError):
            return False
        return True

    def _read(self, digest: str, seconds: float = 0.0) -> Artifact:
        """The object as its record describes it."""
        path = self._object(digest)
        record = parse_json((path / RECORD).read_bytes())
        return Artifact(
            digest=digest,
            path=path,
            files=record["files"],
            metadata=record["metadata"],
            parents=record["parents"],
            seconds=seconds,
        )

    def _object(self, digest: str) -> Path:
        return self.root / "objects" / digest

    def _step(self, key: str) -> Path:
        return self.root / "steps" / f"{key}.json"


def _note_use(entry: Path) -> None:
    """Once a day, for whoever removes what nobody uses. A store that cannot be written is read all
    the same."""
    with suppress(OSError):
        if time.time() - entry.stat().st_mtime > DAY:
            os.utime(entry)


@contextmanager
def _only_user(folder: Path) -> Iterator[None]:
    """Hold the lock beside a workspace; Timeout, at once, where another build does."""
    lock = folder.with_suffix(".lock")
    with FileLock(lock, timeout=0):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def default_store() -> Path:
    """$EDGEKIT_STORE, else the user's cache folder.

    Raises:
        InputError: it begins with ~ and names nobody's home.
    """
    if chosen := os.environ.get("EDGEKIT_STORE"):
        try:
            return at_home(Path(chosen))  # no shell has done it in a .env or a unit file
        except ValueError as error:
            raise InputError(f"EDGEKIT_STORE: {error}") from None
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edgekit"


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
