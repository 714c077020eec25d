"""Take the files that a confined process leaves."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgekit.errors import EdgekitError, WeightsError
from edgekit.printable import printable

BLOCK = 4096


def take(work: Path, into: Path, most: int) -> None:
    """Copy what a task left: the files themselves may be open there, and change later. Plain files
    alone: a link could lead anywhere.

    Args:
        most: bytes of all files, of which each counts as a block at least.

    Raises:
        WeightsError: something else is among them, or they are more.
    """
    left = most
    for folder, folders, files in os.walk(work):
        for name in (*folders, *files):
            found = os.lstat(Path(folder, name))
            if not stat.S_ISDIR(found.st_mode) and not _is_plain(found):
                raise _no_plain_file(name)
    for folder, folders, files in os.walk(work):
        target = into / Path(folder).relative_to(work)
        for name in folders:
            (target / name).mkdir()
        for name in files:
            left -= max(BLOCK, _copy(Path(folder, name), target / name, left))
            if left < 0:
                raise WeightsError(
                    f"the confined process left more than {most / 1e9:.1f} GB of files"
                )


def _copy(source: Path, target: Path, most: int) -> int:
    """Copy a file, or its beginning where it holds more; how many bytes."""
    size = 0
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as stream, target.open("xb") as copy:
        if not _is_plain(os.fstat(descriptor)):
            raise _no_plain_file(source.name)
        while size <= most and (part := stream.read(1 << 20)):
            size += copy.write(part)
    return size


def _no_plain_file(name: str) -> EdgekitError:
    return WeightsError(f"the confined process left {printable(name)}, which is no plain file")


def _is_plain(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1
