"""What the first bytes of an image say: its size, its colours, and often that it cannot be read."""

from __future__ import annotations

import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import TypeAdapter

from edgekit.data.formats import HEIF_PACKAGE, readable_formats
from edgekit.data.framing import Framing
from edgekit.data.images import LONGEST, MAX_PIXELS, decode, turn_of
from edgekit.data.inventory import Inventory, reading
from edgekit.data.metadata_blocks import metadata_fault
from edgekit.data.size import Size
from edgekit.data.sources.base import Source
from edgekit.data.truncation import looks_cut_off
from edgekit.engine.action import library_versions
from edgekit.engine.artifact import digest_of
from edgekit.engine.atomic import write_atomically
from edgekit.errors import storage_errors

if TYPE_CHECKING:
    from PIL import Image

EMPTY_EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0"
ORIENTED = ("JPEG", "MPO", "PNG", "WEBP")
"""Formats whose EXIF orientation Pillow leaves to others; a TIFF it turns itself."""
VERSION = 4
"""Of what is kept between plans."""


class Header(NamedTuple):
    width: int
    height: int
    mode: str
    animated: bool
    transparent: bool
    exif_fault: bool
    """Its EXIF block, which says how it is turned, cannot be read."""
    turned: bool
    """Its EXIF orientation is another than upright, and decoding turns it."""
    fault: str | None
    """Why the image cannot be read, in the words of its decoding; None where header and end of the
    file are sound."""


ROWS = TypeAdapter(dict[str, Header])


def read_headers(inventory: Inventory) -> dict[str, Header]:
    """The header of each image by its sample's name; those of unchanged files are remembered.

    10,000 JPEG files take a second. Nothing is decoded but what cannot be opened or lacks its end.
    """
    paths = {inventory.digests[s.name]: s.path for s in inventory.listing.samples}
    known = _remembered(inventory.memory)
    new = {digest: path for digest, path in paths.items() if digest not in known}
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd palettes and large images
        found = dict(zip(new, pool.map(_read, new.values()), strict=True))
    headers = {digest: found.get(digest) or known[digest] for digest in paths}
    if inventory.memory and new:
        memory = _memory(inventory.memory)
        with storage_errors(memory.parent):
            write_atomically(memory, json.dumps(headers))
    return {s.name: headers[inventory.digests[s.name]] for s in inventory.listing.samples}


def leave_out_unreadable(inventory: Inventory, source: Source) -> Inventory:
    """Without the images that their headers show as unreadable, where the recipe skips those."""
    if source.unreadable == "stop":
        return inventory
    headers = read_headers(inventory)
    return replace(inventory, left_out=frozenset(n for n, h in headers.items() if h.fault))


def _remembered(memory: Path | None) -> dict[str, Header]:
    try:
        return ROWS.validate_json(_memory(memory).read_bytes()) if memory else {}
    except (OSError, ValueError):
        return {}


def _memory(memory: Path) -> Path:
    """Another file for other libraries, which may read what these do not."""
    readers = [VERSION, library_versions(("pillow", HEIF_PACKAGE))]
    return memory.with_name(f"{memory.stem}-headers-{digest_of(readers)[:8]}.json")


def _is_exif(block: bytes) -> bool:
    """Whether an EXIF block holds its first directory whole, in which the orientation stands:
    Pillow reads one that does not as far as it can, without a word.

    >>> _is_exif(EMPTY_EXIF), _is_exif(EMPTY_EXIF[:-1]), _is_exif(b"text")
    (True, False, False)
    """
    data = block.removeprefix(b"Exif\0\0")
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    magic, start = int.from_bytes(data[2:4], order), int.from_bytes(data[4:8], order)
    entries = int.from_bytes(data[start : start + 2], order)
    is_tiff = data[:2] in (b"II", b"MM") and magic == 42
    return is_tiff and len(data) >= start + 2 + 12 * entries


def _is_turned(opened: Image.Image) -> bool:
    # Of a PNG without the block, Pillow would decode all to look for one behind the pixels.
    near = opened.format != "PNG" or "exif" in opened.info
    return near and opened.format in ORIENTED and turn_of(opened) is not None


def _read(path: Path) -> Header:
    from PIL import Image

    header, lacks_end = Header(0, 0, "", False, False, False, False, None), False
    try:
        with path.open("rb") as stream:
            lacks_end = looks_cut_off(stream)
            stream.seek(0)
            if not metadata_fault(stream):
                opened = Image.open(stream, formats=readable_formats())
                header = Header(
                    *opened.size,
                    opened.mode,
                    bool(getattr(opened, "is_animated", False)),
                    opened.has_transparency_data,
                    # To find a block behind the pixels, all would have to be decoded.
                    not _is_exif(opened.info.get("exif") or EMPTY_EXIF),
                    _is_turned(opened),
                    None,
                )
    except MemoryError:
        raise
    except Exception:  # whatever decoders raise: decoding says it in words
        pass
    width, height = header[:2]
    doubtful = (
        lacks_end
        or not width * height
        or width * height > MAX_PIXELS
        or max(width, height) > LONGEST * min(width, height)
        or header.mode.startswith(("I", "F"))
    )
    if not doubtful:
        return header
    with reading(path):
        decoded = decode(path.read_bytes(), Framing(Size.square(16)))
    return header._replace(fault=decoded) if isinstance(decoded, str) else header
