"""Open a bundle where it lies: a folder, or a tar that is unpacked for the while."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.devices.bundle.bundle import COPY_AGAIN, Bundle
from edgekit.engine.records import shown
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import IntegrityError

UNPACKING_ERRORS = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)
"""Of a tar that was cut off, damaged, or written over; it may be compressed."""


@contextmanager
def opened(path: Path) -> Iterator[Bundle]:
    """A bundle in a folder, or in a tar, which is unpacked for the while.

    Raises:
        InputError: it is none. IntegrityError: it is damaged.
    """
    with temporary_folder() as temporary:
        folder = path
        if path.is_file():
            folder = temporary
            try:
                with tarfile.open(path) as tar:
                    tar.extractall(folder, filter="data")
            except UNPACKING_ERRORS as error:
                raise IntegrityError(
                    f"{path} is no whole tar: {shown(str(error))}", hint=COPY_AGAIN
                ) from error
        bundle = Bundle(folder, named=path)
        bundle.verify()
        yield bundle
