"""What is told of a data set, and what the headers of images say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import headers
from edgekit.data.headers import Header, read_headers
from edgekit.data.inventory import Inventory, take_inventory
from edgekit.data.problem import ProblemKind
from edgekit.data.review import Review, review
from edgekit.data.size import Size
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.data.splits import divide
from edgekit.errors import DataError


@pytest.fixture
def source(images_folder: Path) -> ImageFolder:
    return ImageFolder(source="imagefolder", path=images_folder, image_size=Size.square(32))


def taken(source: ImageFolder) -> Inventory:
    return take_inventory(source, source.path.parent / "cache")


def reviewed(source: ImageFolder, decoded: set[str] | None = None) -> Review:
    inventory = taken(source)
    names = {s.name for s in inventory.listing.samples} if decoded is None else decoded
    return review(inventory, divide(inventory, source), source, names)


def test_a_clean_folder_gives_nothing_but_few_images(source: ImageFolder) -> None:
    assert {problem.kind for problem in reviewed(source).problems} <= {ProblemKind.FEW}


def test_unreadable_images_that_no_step_decodes_stop_nothing(source: ImageFolder) -> None:
    (source.path / "bar/bad.png").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"1 of 49 images cannot be read:\n.*bar/bad\.png"):
        reviewed(source)
    (problem,) = [p for p in reviewed(source, set()).problems if p.kind is ProblemKind.UNREADABLE]
    assert problem.example.startswith("bar/bad.png: it is no image")


def test_what_the_build_finds_too_is_counted_once(source: ImageFolder) -> None:
    found = Review((), ("a: cut off",))
    (problem,) = found.with_unreadable(["a: cut off", "b: cut off"])
    assert problem.count == 2
    assert Review((), ()).with_unreadable([]) == ()


def test_exif_blocks_that_cannot_be_read_are_named(source: ImageFolder) -> None:
    image = Image.open(source.path / "bar/00.png")
    exif = Image.Exif()
    exif[274] = 6
    image.save(source.path / "bar/sound.jpg", exif=exif)
    image.save(source.path / "bar/empty.webp", exif=Image.Exif())
    assert not [p for p in reviewed(source).problems if p.kind is ProblemKind.EXIF]
    image.save(source.path / "bar/odd.jpg", exif=b"Exif\0\0no TIFF header")
    image.save(source.path / "bar/short.png", exif=exif.tobytes()[:-6])
    (problem,) = [p for p in reviewed(source).problems if p.kind is ProblemKind.EXIF]
    assert (problem.count, problem.example) == (2, "bar/odd.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_photos_that_are_turned_are_counted_for_a_model_trained_elsewhere(
    source: ImageFolder, suffix: str
) -> None:
    image, exif = Image.open(source.path / "bar/00.png"), Image.Exif()
    for orientation in range(10):  # 0 and 9 are none, 1 is upright
        exif[274] = orientation
        image.save(source.path / f"bar/turned{orientation}.{suffix}", exif=exif)
    exif[274] = 6
    image.save(source.path / "bar/itself.tif", exif=exif)  # Pillow turns it as it is read
    inventory = taken(source)
    splits = divide(inventory, source)
    found = {p.kind: p for p in review(inventory, splits, source, (), True).problems}
    turned = found[ProblemKind.TURNED]
    assert (turned.count, turned.example) == (7, f"bar/turned2.{suffix}")
    assert turned.words.startswith("7 of 59 images turned upright")
    assert ProblemKind.TURNED not in {p.kind for p in reviewed(source).problems}


def test_headers_are_remembered_and_read_again_where_a_file_changed(
    source: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_headers(taken(source))
    assert first["bar/00.png"][:3] == (40, 40, "RGB")
    seen: list[Path] = []
    read = headers._read

    def counting(path: Path) -> Header:
        seen.append(path)
        return read(path)

    monkeypatch.setattr(headers, "_read", counting)
    assert read_headers(taken(source)) == first
    assert seen == []
    Image.fromarray(np.zeros((9, 7), np.uint8)).save(source.path / "bar/00.png")
    assert read_headers(taken(source))["bar/00.png"][:3] == (7, 9, "L")
    assert [path.name for path in seen] == ["00.png"]


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"x": [1]}', "\xff"])
def test_a_damaged_memory_of_headers_is_made_anew(source: ImageFolder, damage: str) -> None:
    first = read_headers(taken(source))
    (memory,) = (source.path.parent / "cache").glob("*-headers-*.json")
    memory.write_text(damage, encoding="latin-1")
    assert read_headers(taken(source)) == first
