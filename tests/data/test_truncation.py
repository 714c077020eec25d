"""Files that lack their end look so, and whole ones do not."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from edgekit.data.truncation import SMALL, looks_cut_off


def encoded(form: str, side: int = 48, quality: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((side, side), 60).convert("RGB").save(stream, form, quality=quality)
    return stream.getvalue()


def is_cut(content: bytes) -> bool:
    return looks_cut_off(io.BytesIO(content))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_whole_and_cut_off(form: str) -> None:
    content = encoded(form)
    assert not is_cut(content)
    assert is_cut(content[: len(content) * 2 // 3])
    assert not is_cut(content + bytes(64)), "padding is no damage"


@pytest.mark.parametrize("form", ["TIFF", "PPM"])
def test_of_other_formats_nothing_is_said(form: str) -> None:
    assert not is_cut(encoded(form)[:-9])


def test_notes_behind_a_photo_and_the_thumbnail_in_a_cut_one() -> None:
    thumbnail, photo = encoded("JPEG"), encoded("JPEG", 700, 99)
    assert len(photo) > SMALL
    assert not is_cut(photo + b"notes of a phone")
    with_thumbnail = photo[:2] + thumbnail + photo[2:]
    assert is_cut(with_thumbnail[:9_000])
    assert is_cut(with_thumbnail[:-1_000])
