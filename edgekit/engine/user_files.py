"""Files that a user names, which may be anything that a name can stand for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgekit.errors import InputError
from edgekit.printable import one_line

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_file(path: Path, most: int) -> bytes:
    """The content of a file, or of a pipe, as shells make them.

    Args:
        most: bytes that a file of its kind ever has.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is no file, larger than `most`, or cannot be read.
    """
    name = one_line(str(path))
    try:
        # A pipe that nobody writes to is then empty; to open it would wait for somebody.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            kind = KINDS.get(stat.S_IFMT(os.fstat(handle).st_mode))
            if kind:
                raise InputError(f"{name}: a file expected, and this is {kind}")
            os.set_blocking(handle, True)
            with open(handle, "rb", closefd=False) as stream:
                content = stream.read(most + 1)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a name may hold what no name can, as a zero byte
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"{name}: cannot be read: {reason}") from None
    if len(content) > most:
        raise InputError(f"{name}: more than {most / 1e6:g} MB, which no file of its kind has")
    return content
