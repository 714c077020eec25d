"""How much of an image file is not pixels: counted before a library reads it.

Pillow joins the blocks of a JPEG's EXIF one by one, which takes minutes where there are thousands,
and keeps the text of a PNG.
"""

from __future__ import annotations

from typing import BinaryIO

MAX_BYTES = 32_000_000
"""Of metadata before the pixels. Depth maps and colour profiles of cameras take a few million."""
MAX_BLOCKS = 10_000
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
START_OF_SCAN, MARKER = 0xDA, 0xFF
BARE_MARKERS = {0x01, *range(0xD0, 0xD9)}
"""Markers of a JPEG that no length follows."""


def metadata_fault(stream: BinaryIO) -> str | None:
    """In words, why the metadata of an image are too much; None where they are not.

    Args:
        stream: at the beginning of a file of any kind, to which it is set back.
    """
    start = stream.read(8)
    if start.startswith(JPEG):
        stream.seek(2)
        size, blocks = _of_jpeg(stream)
    elif start == PNG:
        size, blocks = _of_png(stream)
    else:
        size, blocks = 0, 0
    stream.seek(0)
    if size > MAX_BYTES or blocks > MAX_BLOCKS:
        return (
            f"it has {size / 1e6:.0f} MB of metadata in {blocks} blocks, and "
            f"{MAX_BYTES / 1e6:.0f} MB in {MAX_BLOCKS} are the limit: save it without"
        )
    return None


def _of_jpeg(stream: BinaryIO) -> tuple[int, int]:
    """Bytes and number of the segments before the pixels."""
    size = blocks = 0
    while size <= MAX_BYTES and blocks <= MAX_BLOCKS:
        head = stream.read(2)
        if len(head) < 2 or head[0] != MARKER or head[1] == START_OF_SCAN:
            break
        if head[1] == MARKER:  # padding
            stream.seek(-1, 1)
        elif head[1] not in BARE_MARKERS:
            length = int.from_bytes(stream.read(2), "big")
            stream.seek(max(0, length - 2), 1)
            size += length
        blocks += 1
    return size, blocks


def _of_png(stream: BinaryIO) -> tuple[int, int]:
    """Bytes and number of the chunks that hold no pixels."""
    size = blocks = 0
    while size <= MAX_BYTES and blocks <= MAX_BLOCKS:
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        length = int.from_bytes(head[:4], "big")
        stream.seek(length + 4, 1)
        if head[4:] not in (b"IDAT", b"fdAT"):
            size += length
            blocks += 1
    return size, blocks
