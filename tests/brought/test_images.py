"""Folders of pictures as cameras, phones, archives and spreadsheets leave them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from edgekit.cli import cli
from edgekit.data import formats
from edgekit.data.framing import Framing
from edgekit.data.images import decode
from edgekit.data.size import Size
from edgekit.errors import DataError
from tests.brought import brought
from tests.conftest import draw, write_images

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch}
data: {source: imagefolder, path: %s, image_size: 32}
stages: [finetune: {epochs: 1}, quantize: {method: ptq, samples: 8}, export]
"""


@pytest.fixture
def folder(images_folder: Path) -> Path:
    """images/ with bar/ and disc/, 24 images each."""
    return images_folder.parent


def plan(folder: Path, data: str = "images", *words: str, **fields: str) -> Result:
    text = RECIPE % data
    for name, value in fields.items():
        text = text.replace("image_size: 32", f"image_size: 32, {name}: {value}")
    (folder / "r.yaml").write_text(text)
    command = ["plan", str(folder / "r.yaml"), "--target", "x86-cpu", "--store", str(folder / "s")]
    return CliRunner().invoke(cli, [*command, *words])


def problems(folder: Path, data: str = "images", **fields: str) -> dict[str, dict[str, Any]]:
    """What `plan` tells of the data, by kind."""
    done = plan(folder, data, "--json", **fields)
    assert done.exit_code == 0, done.exception
    told = plan(folder, data, **fields).output
    found = json.loads(done.output)["data"]
    assert all(f"data: {problem['words']}" in told for problem in found)
    return {problem["kind"]: problem for problem in found}


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where pillow-heif is not installed."""
    known = formats.image_suffixes()
    suffixes = known - formats.HEIF_SUFFIXES
    monkeypatch.setattr(formats, "image_suffixes", lambda: suffixes)


@brought(
    "Images and folders",
    "HEIC, raw files of cameras, SVG, JPEG XL, PSB among the pictures",
    "told: left out, how many of each kind; with pillow-heif HEIC is read",
)
def test_pictures_that_are_not_read(folder: Path, without_heif: None) -> None:
    kinds = ["heic", "HEIC", "cr2", "nef", "arw", "dng", "svg", "jxl", "psb", "eps"]
    for i, kind in enumerate(kinds):
        (folder / f"images/bar/IMG_{i}.{kind}").write_bytes(b"content")
    (folder / "images/bar/notes.txt").write_text("no picture")
    found = problems(folder)["left out"]
    assert found["count"] == len(kinds)
    assert "10 pictures of a kind that is not read, left out: 2 .heic" in found["words"]
    assert "pip install 'edgekit-vision[heif]'" in found["advice"]


@brought(
    "Images and folders",
    "Pictures without a suffix, or called .jpg_large",
    "told: left out, as pictures by their content",
)
def test_pictures_by_content(folder: Path) -> None:
    for name in ("IMG_0001", "photo.jpg_large"):
        shutil.copy(folder / "images/bar/00.png", folder / "images/disc" / name)
    found = problems(folder)["left out"]
    assert found["count"] == 2
    assert "1 pictures named without a suffix" in found["words"]


@brought("Images and folders", "HEIC photos of a phone, with pillow-heif", "read")
def test_heic_is_read(folder: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    for path in (folder / "images/bar").glob("0*.png"):
        Image.open(path).resize((96, 96)).save(path.with_suffix(".HEIC"))
        path.unlink()
    done = plan(folder)
    assert done.exit_code == 0
    assert "left out" not in done.output
    assert "cannot be read" not in done.output


@brought(
    "Images and folders",
    "A class folder that holds HEIC alone, without pillow-heif",
    "refused: the package to install",
)
def test_a_class_of_heic(folder: Path, without_heif: None) -> None:
    (folder / "images/cat").mkdir()
    (folder / "images/dog").mkdir()
    (folder / "images/cat/1.heic").write_bytes(b"content")
    done = plan(folder)
    assert isinstance(done.exception, DataError)
    assert "2 class folders without an image that is read (1 .heic)" in done.exception.message
    assert "pip install 'edgekit-vision[heif]'" in str(done.exception.hint)


@brought(
    "Images and folders",
    "An empty class folder, an image with two labels, one in two splits and a cut-off one",
    "refused: all of them at once",
)
def test_several_faults_are_told_at_once(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_images(tmp_path / "images" / split, seed=split == "val", count=4)
    train, val = tmp_path / "images/train", tmp_path / "images/val"
    (train / "ring").mkdir()
    shutil.copy(train / "bar/00.png", train / "disc/bar.png")
    shutil.copy(train / "bar/01.png", val / "bar/again.png")
    (val / "disc/00.png").write_bytes((val / "disc/00.png").read_bytes()[:300])
    error = plan(tmp_path).exception
    assert isinstance(error, DataError)
    first, *faults = error.message.splitlines()
    assert first == "4 faults of the data:"
    said = " ".join(faults)
    for words in (
        "1 class folder without an image", "1 image bears two labels",
        "1 image of one split stands in another one too", "1 of 18 images cannot be read",
    ):  # fmt: skip
        assert words in said
    assert len(str(error.hint).splitlines()) == 4


def damage(folder: Path) -> list[str]:
    """Images of both classes of which the headers say that they cannot be read."""
    images = folder / "images"
    (images / "bar/empty.jpg").write_bytes(b"")
    (images / "disc/page.jpg").write_text("<html>404</html>")
    (images / "disc/cut.png").write_bytes((images / "disc/00.png").read_bytes()[:20])
    Image.fromarray(np.full((40, 40), 4000, np.uint16)).save(images / "bar/deep.tif")
    return ["bar/empty.jpg", "disc/page.jpg", "disc/cut.png", "bar/deep.tif"]


@brought(
    "Images and folders",
    "Empty files, web pages called .jpg, cut files, 16-bit greys",
    "refused by `plan`, all in one message; told where data.unreadable is skip",
)
def test_unreadable_images(folder: Path) -> None:
    names = damage(folder)
    done = plan(folder)
    assert isinstance(done.exception, DataError)
    assert done.exception.message.startswith("4 of 52 images cannot be read:")
    assert all(name in done.exception.message for name in names)
    assert "it has more than 8 bits a channel" in done.exception.message
    found = problems(folder, unreadable="skip")["unreadable"]
    assert found["count"] == 4


@brought(
    "Images and folders",
    ".DS_Store, __MACOSX, ._x.jpg, Thumbs.db beside the pictures",
    "read: passed over and counted",
)
def test_what_systems_leave(folder: Path) -> None:
    images = folder / "images"
    for name in ("__MACOSX/bar/._00.png", ".DS_Store", "bar/._00.png", "disc/Thumbs.db"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(b"x")
    assert problems(folder)["hidden"]["count"] == 4


@brought(
    "Images and folders",
    "Folders within class folders, links to folders that lead back up",
    "told: what is deeper belongs to the class; links are not followed",
)
def test_nested_and_linked_folders(folder: Path) -> None:
    deep = folder / "images/bar/2024/may"
    deep.mkdir(parents=True)
    (folder / "images/bar/00.png").rename(deep / "00.png")
    (folder / "images/disc/loop").symlink_to(folder / "images")
    found = problems(folder)
    assert found["nested"]["count"] == 1
    assert found["linked folder"]["example"] == "disc/loop"


@brought(
    "Images and folders",
    "Panoramas and tall crops; GIF and WebP with frames; PNG with transparency; CMYK JPEG; .JPG",
    "told: what a crop leaves out, what is dropped",
)
def test_pictures_that_decoding_changes(folder: Path) -> None:
    images, rng = folder / "images", np.random.default_rng(5)
    draw("bar", rng).resize((160, 40)).save(images / "bar/wide.JPG")
    draw("disc", rng).resize((40, 80)).save(images / "disc/tall.jpeg")
    frames = [draw("bar", rng) for _ in range(3)]
    frames[0].save(images / "bar/moving.gif", save_all=True, append_images=frames[1:])
    frames[1].convert("RGBA").save(images / "bar/clear.png")
    frames[2].convert("CMYK").save(images / "bar/print.jpg")
    found = problems(folder)
    assert found["oblong"]["count"] == 2
    assert (
        "2 of 53 images oblong: the centre crop leaves out up to 75 %" in found["oblong"]["words"]
    )
    assert {kind: found[kind]["example"] for kind in ("animated", "transparent", "cmyk")} == {
        "animated": "bar/moving.gif",
        "transparent": "bar/clear.png",
        "cmyk": "bar/print.jpg",
    }


@brought(
    "Images and folders",
    "A class with few images, one that is 10 times another, one that validation lacks",
    "told",
)
def test_uneven_classes(folder: Path) -> None:
    images = folder / "images"
    (images / "train").mkdir()
    (images / "val").mkdir()
    for split, shape, of in (("train", "bar", 20), ("train", "disc", 2), ("val", "bar", 4)):
        (images / split / shape).mkdir()
        for path in sorted((images / shape).iterdir())[:of]:
            path.rename(images / split / shape / path.name)
    shutil.rmtree(images / "bar")
    shutil.rmtree(images / "disc")
    found = problems(folder)
    assert (
        found["uneven classes"]["words"] == "the train split is uneven: 20 images of bar, 2 of disc"
    )
    assert found["few images"]["count"] == 1
    assert found["class without images"]["example"] == "disc"


@brought(
    "Images and folders",
    "Class folders named 1, 2, 10, whose order is another as text than as numbers",
    "told: with the line for the other order, which works when pasted",
)
def test_folders_named_by_numbers(folder: Path) -> None:
    for old, new in (("bar", "10"), ("disc", "2")):
        (folder / "images" / old).rename(folder / "images" / new)
    told = problems(folder)["order of classes"]
    line = told["advice"].partition("model section ")[2]
    assert line == 'classes: ["2", "10"]'
    (folder / "r.yaml").write_text((RECIPE % "images").replace("scratch}", f"scratch, {line}}}"))
    words = ["plan", str(folder / "r.yaml"), "--target", "x86-cpu", "--store", str(folder / "s")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.exception
    assert "order of text" not in done.output


@brought("Images and folders", "Class folders Cat and cat", "told: two classes")
def test_classes_that_differ_in_case(folder: Path) -> None:
    (folder / "images/disc").rename(folder / "images/Bar")
    assert problems(folder)["case of classes"]["example"] == "Bar, bar"


@brought("Images and folders", "The same training image in several files", "told: each weighs")
def test_copies(folder: Path) -> None:
    for i in range(30):
        shutil.copy(folder / "images/bar/00.png", folder / f"images/bar/copy{i}.png")
    found = problems(folder)
    copies = found.get("copies", found.get("doubled", {}))
    assert copies["count"] == 30
    assert copies["example"] == "bar/00.png and bar/copy0.png"
    assert "rows" not in copies["words"]


@brought(
    "Images and folders",
    "Photos of several splits and formats that were cut off as they were copied",
    "refused by `plan`, all in one message",
)
def test_cut_off_images(folder: Path) -> None:
    (folder / "images").rename(folder / "flat")
    cut = []
    for i, path in enumerate(sorted(folder.glob("flat/*/*.png"))):
        split = ("train", "val", "test")[i % 3]
        suffix = (".png", ".jpg", ".webp")[i // 3 % 3]
        into = folder / "images" / split / path.parent.name / f"{path.stem}{suffix}"
        into.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((160, 160)).save(into)
        if path.stem in ("00", "07", "11"):
            into.write_bytes(into.read_bytes()[:-200])
            cut.append(into)
    done = plan(folder)
    assert isinstance(done.exception, DataError)
    read = [path for path in cut if "test/" not in str(path)]
    assert f"{len(read)} of 32 images cannot be read" in str(done.exception)
    assert all(str(path) in str(done.exception) for path in read)


@brought(
    "Images and folders",
    "Photos with an EXIF orientation, for a model that was trained elsewhere",
    "told: how many are turned, which training with Keras or torchvision may not have done",
)
@pytest.mark.parametrize("told", [True, False])
def test_turned(folder: Path, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    if told:
        torch.save({"a": torch.zeros(1)}, folder / "w.pt")
        text = RECIPE.replace("scratch", "w.pt").replace("finetune: {epochs: 1}, ", "")
        monkeypatch.setitem(globals(), "RECIPE", text)
    exif = Image.Exif()
    exif[274] = 8
    Image.open(folder / "images/bar/00.png").save(folder / "images/bar/00.jpg", exif=exif)
    assert ("turned upright" in problems(folder)) == told


@brought("Images and folders", "A photo on its side, with odd tags in its EXIF block", "read")
def test_odd_exif(folder: Path) -> None:
    tags = b"\x02\0" + b"\0\1\2\0\4\0\0\0abc\0" + b"\x12\1\3\0\1\0\0\0\6\0\0\0"  # ImageWidth: abc
    picture = Image.open(folder / "images/bar/00.png").resize((60, 40))
    for name in ("bar/00.jpg", "disc/00.jpg"):
        exif = b"Exif\0\0II*\0\x08\0\0\0" + tags + bytes(4)
        picture.save(folder / "images" / name, exif=exif)
        picture = picture.rotate(180)
    assert "unreadable" not in problems(folder)
    assert isinstance(
        decode((folder / "images/bar/00.jpg").read_bytes(), Framing(Size.square(32))), np.ndarray
    )


@brought(
    "Images and folders",
    "A CSV file that lists its validation images four times",
    "told: each image counts once",
)
def test_doubled_rows(folder: Path) -> None:
    rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in folder.glob("images/*/*")]
    judged = [f"{row},val" for row in rows if row.split(".")[0].endswith("0")]
    others = [f"{row},train" for row in rows if not row.split(".")[0].endswith("0")]
    (folder / "t.csv").write_text("\n".join(["path,label,split", *judged * 4, *others]))
    found = problems(folder, "t.csv")["doubled"]
    assert found["count"] == 3 * len(judged)
    assert "each image counts once" in found["words"]


@brought(
    "Images and folders",
    "A JPEG with 2,000 blocks of EXIF (130 MB), over which a decoder sits for minutes",
    "refused: how much metadata it has",
)
def test_too_much_metadata(folder: Path) -> None:
    plain = folder / "plain.jpg"
    Image.open(folder / "images/bar/00.png").save(plain)
    content = plain.read_bytes()
    block = b"\xff\xe1\xff\xdcExif\0\0II*\0\x08\0\0\0" + bytes(65_484)
    (folder / "images/bar/large.jpg").write_bytes(content[:2] + block * 2000 + content[2:])
    done = plan(folder)
    assert isinstance(done.exception, DataError)
    assert "MB of metadata in" in done.exception.message
