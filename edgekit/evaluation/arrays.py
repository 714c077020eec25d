"""Arrays of numbers from elsewhere: .npy files of a bundle, scores of a device."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.records import BadRecord, shown
from edgekit.errors import InputError

NUMBERS = "fiu"
"""Kinds of dtypes: floats, integers, and those without a sign."""
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def parse_array(content: bytes) -> NDArray[Any]:
    """What `np.save` wrote. `np.load` would make room for whatever shape a damaged header tells.

    Raises:
        BadRecord: it is none, is cut off, or holds something else than numbers.
    """
    stream = io.BytesIO(content)
    try:
        shape, is_fortran, dtype = HEADERS[np.lib.format.read_magic(stream)](stream)
    except Exception as error:  # the header is Python, and ends in any error of its parser
        raise BadRecord(f"no .npy array: {shown(str(error))}") from error
    if dtype.kind not in NUMBERS:
        raise BadRecord(f"an array of numbers expected, not of {shown(str(dtype))}")
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if expected != found or any(side < 0 for side in shape):
        raise BadRecord(f"an array of {shown(shape)} has {expected} bytes, and {found} are there")
    numbers: NDArray[Any] = np.frombuffer(content, dtype, offset=stream.tell())
    return numbers.reshape(shape, order="F" if is_fortran else "C")


def read_array(path: Path, hint: str) -> NDArray[Any]:
    """
    Raises:
        InputError: the file cannot be read, or is no array of numbers.
    """
    try:
        return parse_array(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    except BadRecord as error:
        raise InputError(f"{path}: {error}", hint=hint) from error
