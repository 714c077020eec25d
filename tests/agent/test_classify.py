"""classify.py takes the photos that a build takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.agent import classify
from edgekit.data import formats


def test_its_lists_are_the_builds() -> None:
    assert classify.FORMATS == formats.FORMATS
    assert classify.HEIF_SUFFIXES == formats.HEIF_SUFFIXES
    assert formats.image_suffixes() <= classify.SUFFIXES
    assert formats.image_suffixes() | formats.UNREAD_SUFFIXES >= classify.SUFFIXES


@pytest.mark.parametrize(("dtype", "mode"), [(np.uint16, "I;16"), (np.float32, "F")])
def test_more_than_8_bits(tmp_path: Path, dtype: type, mode: str) -> None:
    photo = tmp_path / "deep.tif"
    Image.fromarray(np.full((8, 8), 40_000, dtype)).save(photo)
    with pytest.raises(classify.BadInput, match=f"more than 8 bits a channel .mode {mode}"):
        classify.photo_of(photo)


def test_what_is_left_out_of_a_folder_is_counted(tmp_path: Path) -> None:
    for name in ("a.HEIC", "b.avif", "c.jfif", "d.jp2", "e.svg", "f.svg", "README", ".hidden"):
        (tmp_path / name).touch()
    photos, others = classify.photos_in(tmp_path)
    assert [photo.name for photo in photos] == ["a.HEIC", "b.avif", "c.jfif", "d.jp2"]
    assert others == {".svg": 2, "without a suffix": 1}
    assert classify.photos_in(tmp_path / "a.HEIC") == ([], {})
