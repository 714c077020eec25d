"""Files that are there whole or not at all, with the rights that the user's umask leaves."""

from __future__ import annotations

import fcntl
import glob
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from edgekit.errors import StorageError


def write_atomically(path: Path, text: str, *, swept: bool = False) -> None:
    """Write to a temporary file beside `path`, flush, rename: never half a file.

    Args:
        swept: what a killed build left there is removed by somebody else.

    Raises:
        StorageError: something that is no file has its name: a folder, or a device as /dev/null.
    """
    need_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not swept:
        sweep(path.parent, path.name)
    stream = _temporary(path)
    try:
        with stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            Path(stream.name).replace(path)
    except BaseException:
        Path(stream.name).unlink(missing_ok=True)
        raise


def need_file(path: Path) -> None:
    """
    Raises:
        StorageError: a folder or a device has its name.
    """
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is no file, so none can be written there", hint="move it away")


def sweep(folder: Path, name: str = "") -> None:
    """Remove temporary files that killed builds left: nobody holds their locks any more.

    Args:
        name: of the file that they were for; of any without it.
    """
    pattern = f".{glob.escape(name) if name else '*'}.{'[0-9a-z_]' * 8}"
    for rest in folder.glob(pattern):
        with suppress(OSError), rest.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            rest.unlink()


def permitted(mode: int) -> int:
    """What the user's umask leaves of a mode: of files that a library made for its user alone."""
    mask = os.umask(0o077)  # it can only be read by setting it
    os.umask(mask)
    return mode & ~mask


def _temporary(path: Path) -> TextIO:
    """A new file beside `path`, locked as long as it is open."""
    while True:
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        stream = part.open("x", encoding="utf-8")
        with suppress(OSError):  # where the file system has no locks, nothing is swept either
            fcntl.flock(stream, fcntl.LOCK_EX)
        if part.exists():
            return stream
        stream.close()  # another build swept it before it was locked
