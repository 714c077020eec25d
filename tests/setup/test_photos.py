"""What is seen of a folder of photos before there is a recipe."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from edgekit.data.problem import ProblemKind
from edgekit.data.size import Size
from edgekit.errors import DataError
from edgekit.setup.photos import PhotoSet, divide_photos, list_photos, sound_photos


def photos(folder: Path, tmp_path: Path) -> PhotoSet:
    source, _, _ = list_photos(folder, skip_unreadable=False)
    inventory = sound_photos(source, tmp_path / "digests")
    return divide_photos(source, inventory, Size.square(32), "crop")


def split_in_two(folder: Path, judged: str) -> Path:
    for shape in [*folder.iterdir()]:
        for i, path in enumerate(sorted(shape.iterdir())):
            into = folder.parent / "split" / (judged if i % 4 == 0 else "train") / shape.name
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into)
    return folder.parent / "split"


def test_sizes_and_colours_are_those_of_the_files(images_folder: Path) -> None:
    _, _, shapes = list_photos(images_folder, skip_unreadable=False)
    assert (shapes.side, shapes.oblong, shapes.grey) == (40, 0.0, False)
    for path in images_folder.rglob("*.png"):
        Image.open(path).convert("L").resize((120, 40)).save(path)
    _, _, shapes = list_photos(images_folder, skip_unreadable=False)
    assert (shapes.side, shapes.are_oblong, shapes.grey) == (40, True, True)


def test_a_quarter_judges(images_folder: Path, tmp_path: Path) -> None:
    found = photos(images_folder, tmp_path)
    assert (found.judged, found.learned, found.commonest) == (12, 36, 0.5)
    assert not found.own_splits


def test_where_there_is_no_validation_split_the_test_split_judges(
    images_folder: Path, tmp_path: Path
) -> None:
    found = photos(split_in_two(images_folder, "test"), tmp_path)
    assert found.source.evaluate_on == "test"
    assert found.own_splits
    assert found.problems == ()


def test_a_judged_photo_in_another_encoding_is_found_in_the_train_split(
    images_folder: Path, tmp_path: Path
) -> None:
    folder = split_in_two(images_folder, "val")
    Image.open(folder / "val/disc/00.png").save(folder / "train/disc/again.jpg", quality=90)
    (problem,) = photos(folder, tmp_path).problems
    assert problem.kind is ProblemKind.NEAR
    assert problem.example == "val/disc/00.png and train/disc/again.jpg"


def test_photos_in_two_sizes_are_told_before_edgekit_divides_them(
    images_folder: Path, tmp_path: Path
) -> None:
    for path in [*images_folder.glob("*/*.png")]:
        Image.open(path).resize((33, 33)).save(path.with_suffix(".jpg"), quality=95)
    (problem,) = photos(images_folder, tmp_path).problems
    assert problem.kind is ProblemKind.NEAR
    assert "keep one of each" in problem.advice


def test_the_words_are_those_of_a_plan(images_folder: Path, tmp_path: Path) -> None:
    shutil.copy(images_folder / "bar/00.png", images_folder / "disc/99.png")
    with pytest.raises(DataError, match="1 image bears two labels"):
        photos(images_folder, tmp_path)
