"""Class folders, split folders and CSV files are listed as they are, or refused by name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgekit.data.sources.base import Listing
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.engine.user_paths import loaded_from
from edgekit.errors import DataError


def listed(base: Path, path: str = ".", **fields: Any) -> Listing:
    settings = {"source": "imagefolder", "path": path, "image_size": 32, **fields}
    return ImageFolder.model_validate(settings, context=loaded_from(base)).listing()


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_class_folders_give_labels_and_sorted_classes(images_folder: Path) -> None:
    listing = listed(images_folder.parent, "images")
    assert listing.classes == ("bar", "disc")
    assert Counter(s.label for s in listing.samples) == {"bar": 24, "disc": 24}
    assert all(s.path.is_file() and s.split is None for s in listing.samples)
    assert listing.samples[0].name == "bar/00.png"


def test_names_do_not_depend_on_where_the_folder_lies(images_folder: Path) -> None:
    before = [s.name for s in listed(images_folder).samples]
    moved = images_folder.rename(images_folder.with_name("elsewhere"))
    assert [s.name for s in listed(moved).samples] == before


def test_files_that_are_no_images_and_what_is_hidden_are_not_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.PNG", "a/deep/2.jpeg", "a/notes.txt", "b/1.webp", ".git/1.png", "3.txt")
    touch(tmp_path, "a/._1.png", "a/.thumbnails/1.png", "a/deep/.cache/x/2.jpeg", "._3.png")
    (tmp_path / "a" / "folder.png").mkdir()
    assert [s.name for s in listed(tmp_path).samples] == ["a/1.PNG", "a/deep/2.jpeg", "b/1.webp"]


@pytest.mark.parametrize("suffix", ["gif", "JP2", "tga", "jfif", "webp"])
def test_every_image_that_pillow_reads_is_taken(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"a/1.{suffix}", "a/2.png", "a/3.pdf", "a/4.npy")
    assert [s.name for s in listed(tmp_path).samples] == [f"a/1.{suffix}", "a/2.png"]


@pytest.mark.parametrize("loose", ["1.png", "train/1.gif"])
def test_an_image_that_belongs_to_no_class_is_refused_by_name(tmp_path: Path, loose: str) -> None:
    touch(tmp_path, "train/a/1.png", "val/a/2.png", loose)
    with pytest.raises(DataError, match=rf"1 image in no folder of a class: .*/{loose}"):
        listed(tmp_path)


def test_loose_images_are_refused_where_there_is_no_class_at_all(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}.png" for i in range(7)))
    with pytest.raises(DataError, match=r"7 images in no folder of a class: .*0\.png.* and 2 more"):
        listed(tmp_path)


def test_a_hidden_folder_above_the_data_hides_nothing(tmp_path: Path) -> None:
    touch(tmp_path, ".cache/data/a/1.png")
    assert [s.name for s in listed(tmp_path, ".cache/data").samples] == ["a/1.png"]


def test_split_folders_set_the_split(tmp_path: Path) -> None:
    touch(tmp_path, "Train/a/1.png", "train/b/1.png", "val/a/2.png", "test/a/3.png")
    touch(tmp_path, "calib/b/4.png")
    assert {s.name: s.split for s in listed(tmp_path).samples} == {
        "Train/a/1.png": "train",
        "train/b/1.png": "train",
        "val/a/2.png": "validation",
        "test/a/3.png": "test",
        "calib/b/4.png": "calibration",
    }


def test_split_folders_beside_class_folders_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.png", "cats/2.png")
    with pytest.raises(DataError, match="cats"):
        listed(tmp_path)


def test_an_empty_class_folder_is_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/readme.txt")
    (error,) = listed(tmp_path).refusals
    assert error.message == f"1 class folder without an image: {tmp_path / 'b'}"


def test_a_folder_without_images_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images"):
        listed(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        listed(tmp_path, "nowhere")


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    (tmp_path / "all.csv").write_text(text, encoding=encoding)
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_lists_paths_beside_it(tmp_path: Path, encoding: str) -> None:
    text = "label,path,split\nb,x/1.png,train\na,2.png,VAL\n"
    listing = listed(table(tmp_path, text, encoding), "all.csv")
    assert listing.classes == ("a", "b")
    assert [(s.name, s.path, s.split) for s in listing.samples] == [
        ("x/1.png", tmp_path / "x/1.png", "train"),
        ("2.png", tmp_path / "2.png", "validation"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,kind\n1.png,a\n", "no column label"),
        ("a,b\n", "no column label and no column path"),
        ("", "no column"),
        ("path,label,split\n1.png,a,train\n2.png,a,holdout\n", r"all.csv:3: unknown split 'hol"),
        ("path,label\n1.png,\n", r"all.csv:2: a path and a label"),
        ("path,label\n1.png\n", r"all.csv:2: a path and a label"),
        ("path,label\n1.png,  \n", r"all.csv:2: a path and a label"),
        ("path,label\n", "no images"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        listed(table(tmp_path, text), "all.csv")


def test_an_image_given_for_a_csv_is_refused(images_folder: Path) -> None:
    with pytest.raises(DataError, match="not a text file"):
        listed(images_folder, "bar/00.png")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "disc\n\nbar\nring\n"),
        ("names.json", json.dumps(["disc", "bar", "ring"])),
        ("names.json", json.dumps({"ring": 2, "bar": [1], "disc": 0})),
    ],
)
def test_a_classes_file_sets_the_order_of_the_scores(
    images_folder: Path, name: str, text: str
) -> None:
    (images_folder / name).write_text(text)
    assert listed(images_folder, classes=Path(name)).classes == ("disc", "bar", "ring")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("names.txt", "disc\n", "bar"),
        ("names.txt", "disc\nbar\ndisc\n", "twice: disc"),
        ("names.json", '{"bar": 0, "disc": 2}', "without gaps"),
        ("names.json", '["bar", ', "not valid JSON"),
    ],
)
def test_a_classes_file_that_does_not_fit_is_refused(
    images_folder: Path, name: str, text: str, message: str
) -> None:
    (images_folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        listed(images_folder, classes=Path(name))


def test_a_missing_classes_file_is_refused(images_folder: Path) -> None:
    with pytest.raises(DataError, match=r"data\.classes.*No such file"):
        listed(images_folder, classes=Path("names.txt"))
