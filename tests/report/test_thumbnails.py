"""Pictures of images that flip: small, few, known by their images, and left out on demand."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.build_folder.report import Report
from edgekit.engine.artifact import FileEntry
from edgekit.pipeline.draft import images
from edgekit.report import thumbnails
from edgekit.report.publish import _write_report
from edgekit.report.thumbnails import (
    THUMBNAILS,
    Thumbnails,
    entry_of,
    make_thumbnails,
    read_thumbnails,
    thumbnail,
    within_budget,
)
from tests.report.answers import answered, digest_of

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 160, 120, 3), np.uint8)


@pytest.fixture
def flipped() -> Report:
    """Of three images, the second flips."""
    return answered([0, 0, 1], [0, 0, 1], [0, 1, 1])


def build_of(folder: Path, allowed: bool = True) -> Any:
    np.save(folder / "images.npy", PIXELS)
    settings = SimpleNamespace(thumbnails=allowed)
    recipe = SimpleNamespace(report=settings, data=SimpleNamespace(evaluate_on="validation"))
    decoded = SimpleNamespace(verified=lambda name: folder / name)
    return SimpleNamespace(
        plan=SimpleNamespace(recipe=recipe), artifacts={images("validation"): decoded}
    )


def test_only_images_that_flip_get_a_picture(tmp_path: Path, flipped: Report) -> None:
    text = make_thumbnails(build_of(tmp_path), flipped)
    assert text
    (tmp_path / THUMBNAILS).write_text(text)
    pictures, why = read_thumbnails(tmp_path, entry_of(text))
    assert why == ""
    assert list(pictures) == [digest_of(1)]
    opened = Image.open(io.BytesIO(base64.b64decode(pictures[digest_of(1)])))
    assert (opened.format, opened.size) == ("JPEG", (72, 96))


def test_a_recipe_that_leaves_them_out_gets_none(tmp_path: Path, flipped: Report) -> None:
    assert make_thumbnails(build_of(tmp_path, allowed=False), flipped) is None
    assert make_thumbnails(build_of(tmp_path), answered([0], [0], [0])) is None


def test_pictures_of_an_earlier_build_are_removed(tmp_path: Path, flipped: Report) -> None:
    folder = tmp_path / "build"
    shown = _write_report(build_of(tmp_path), flipped, folder)
    assert shown.thumbnails
    assert "base64" in (folder / "report.html").read_text()
    private = _write_report(build_of(tmp_path, allowed=False), flipped, folder)
    assert private.thumbnails is None
    assert not (folder / THUMBNAILS).exists()
    assert "base64" not in (folder / "report.html").read_text()


def test_pictures_that_are_not_those_of_the_report_are_not_shown(tmp_path: Path) -> None:
    assert read_thumbnails(tmp_path, None) == ({}, "")
    text = Thumbnails(pictures={digest_of(0): thumbnail(PIXELS[0])}).model_dump_json()
    assert "is not beside" in read_thumbnails(tmp_path, entry_of(text))[1]
    (tmp_path / THUMBNAILS).write_text(text + " ")
    assert "is not the one" in read_thumbnails(tmp_path, entry_of(text))[1]


@pytest.mark.parametrize("picture", ['/9j/x" onerror="', "PHN2Zz4=", "/9j/ab\n", ""])
def test_nothing_but_a_jpeg_is_taken(tmp_path: Path, picture: str) -> None:
    text = Thumbnails.model_construct(pictures={digest_of(0): picture}).model_dump_json()
    (tmp_path / THUMBNAILS).write_text(text)
    entry: FileEntry = entry_of(text)
    found, why = read_thumbnails(tmp_path, entry)
    assert found == {}
    assert "cannot be read" in why


def test_a_page_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "MAX_BYTES", 10)
    pictures = {"a": "x" * 6, "b": "x" * 6, "c": "x" * 4}
    shown = [("litert", "a"), ("litert", "b"), ("litert", "c"), ("litert", "missing")]
    assert within_budget(pictures, shown) == {("litert", "a"), ("litert", "c")}
