"""Folders in the system's place for what is temporary, gone afterwards, however their build ends.

edgekit-<8 characters>/.edgekit-lock    held while its maker lives
edgekit-<8 characters>/work             what the maker sees
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PREFIX = "edgekit-"
LOCK = ".edgekit-lock"


@contextmanager
def temporary_folder(place: Path | None = None) -> Iterator[Path]:
    """A fresh folder that is gone afterwards; after kill -9 the next build sweeps it.

    Args:
        place: instead of the system's.
    """
    sweep_temporary(place)
    folder, lock = _locked(place)
    try:
        with lock:
            work = folder / "work"
            work.mkdir(mode=0o700)
            yield work
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _locked(place: Path | None) -> tuple[Path, BinaryIO]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        lock = (folder / LOCK).open("xb")
        with suppress(OSError):  # where the file system has no locks, nothing is swept either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():
            return folder, lock
        lock.close()  # another build swept it before it was locked


def sweep_temporary(place: Path | None = None) -> None:
    """Remove the folders of builds that were killed: nobody holds their locks.

    A process number would not tell: a build in another container has its own numbers.
    """
    for lock in (place or Path(tempfile.gettempdir())).glob(f"{PREFIX}{'?' * 8}/{LOCK}"):
        # In a folder of ours nobody else can put anything in its place meanwhile.
        with suppress(OSError):
            if lock.parent.lstat().st_uid != os.geteuid() or lock.parent.is_symlink():
                continue
            with lock.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
