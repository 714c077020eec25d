"""What is no pixels is counted before a library reads it."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from edgekit.data.framing import Framing
from edgekit.data.images import decode
from edgekit.data.metadata_blocks import metadata_fault
from edgekit.data.size import Size
from tests.mutations import damaged, fuzz


def encoded(form: str, **settings: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)).save(
        stream, form, **settings
    )
    return stream.getvalue()


def jpeg_with(segments: list[tuple[int, bytes]]) -> bytes:
    plain = encoded("JPEG")
    head = b"".join(b"\xff" + struct.pack(">BH", m, len(c) + 2) + c for m, c in segments)
    return plain[:2] + head + plain[2:]


def png_with(chunks: list[tuple[bytes, bytes]]) -> bytes:
    plain, extra = encoded("PNG"), b""
    for kind, content in chunks:
        check = zlib.crc32(kind + content)
        extra += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
    at = plain.index(b"IDAT") - 4
    return plain[:at] + extra + plain[at:]


EXIF = b"Exif\0\0II*\0\x08\0\0\0" + bytes(65_000)


@pytest.mark.parametrize(
    "content",
    [
        jpeg_with([(0xE1, EXIF)] * 2000),
        jpeg_with([(0xFE, b"a comment")] * 20_000),
        png_with([(b"tEXt", b"key\0text")] * 20_000),
        png_with([(b"eXIf", EXIF + bytes(40_000_000))]),
    ],
    ids=["EXIF in 2000 blocks", "20,000 comments", "20,000 texts", "EXIF of 40 MB"],
)
def test_too_much_metadata_is_refused_at_once(content: bytes) -> None:
    start = time.monotonic()
    found = decode(content, Framing(Size.square(32)))
    assert isinstance(found, str)
    assert "MB of metadata in" in found
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "content",
    [
        jpeg_with([(0xE1, EXIF)] * 20 + [(0xE2, b"ICC_PROFILE\0" + bytes(60_000))] * 20),
        png_with([(b"tEXt", b"key\0" + b"x" * 900_000)]),
        encoded("JPEG", progressive=True, comment=b"x"),
        encoded("PNG", compress_level=0),
        encoded("WEBP"),
        b"",
    ],
)
def test_what_cameras_write_is_within_the_limit(content: bytes) -> None:
    assert metadata_fault(io.BytesIO(content)) is None


@fuzz
@given(content=damaged(jpeg_with([(0xE1, EXIF[:300])])))
def test_a_damaged_jpeg(content: bytes) -> None:
    metadata_fault(io.BytesIO(content))


@fuzz
@given(content=damaged(png_with([(b"tEXt", b"key\0text")])))
def test_a_damaged_png(content: bytes) -> None:
    metadata_fault(io.BytesIO(content))
