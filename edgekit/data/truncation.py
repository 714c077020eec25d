"""Whether the end of an image file seems to be missing: a download or a copy that stopped."""

from __future__ import annotations

import os
from typing import BinaryIO

from edgekit.data.metadata_blocks import JPEG, PNG

TAIL = 65_536
"""Bytes at the end that are looked at: phones write notes of their own behind the last marker."""
SMALL = 262_144
"""Of a smaller JPEG the thumbnail may lie in the tail, with an end of its own."""
END_OF_IMAGE, END_CHUNK, TRAILER = b"\xff\xd9", b"IEND", b";"


def looks_cut_off(stream: BinaryIO) -> bool:
    """Whether an image lacks its end; decoding it tells whether pixels are missing.

    Of other formats than JPEG, PNG, GIF, WebP and BMP nothing is said.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    start = stream.read(12)
    stream.seek(max(0, size - TAIL))
    tail = stream.read()
    if start.startswith(JPEG):
        ends = tail.rstrip(b"\0").endswith(END_OF_IMAGE)
        return not ends if size < SMALL else END_OF_IMAGE not in tail
    if start.startswith(PNG):
        return END_CHUNK not in tail
    if start.startswith(b"GIF8"):
        return not tail.rstrip(b"\0").endswith(TRAILER)
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return int.from_bytes(start[4:8], "little") + 8 > size
    if start.startswith(b"BM"):
        return int.from_bytes(start[2:6], "little") > size
    return False
