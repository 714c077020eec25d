"""classify.py, as it lies beside every model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.brought import brought
from tests.brought.test_fit import build, ends_of, save_model, write_pictures
from tests.commands import edgekit

VARIANT = "build/recipe/board/onnxruntime"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_pictures(tmp_path_factory.mktemp("classify"))
    save_model(root / "model.onnx", ends_of(32, 32))
    code, words = build(root, fit="squash")
    assert code == 0, words
    return root


def classify(program: Path, *words: object, cwd: Path, without: str = "") -> tuple[int, str]:
    """Run it from another folder, with edgekit and torch (and what else is named) missing."""
    names = ["edgekit", "torch", "timm", *without.split()]
    code = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({names})); "
        f"sys.argv = {[str(program), *map(str, words)]}; "
        f"runpy.run_path({str(program)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@brought("Images and folders", "A photo for classify.py, from any folder", "read: squashed as told")
@brought("Images and folders", "A photo that lies on its side (EXIF)", "read: turned upright")
def test_a_photo_from_another_folder(folder: Path, tmp_path: Path) -> None:
    program, photo = folder / VARIANT / "classify.py", next(folder.glob("images/val/left/*"))
    code, words = classify(program, photo, cwd=tmp_path)
    lines = [line.split() for line in words.splitlines()]
    assert (code, lines[1][0]) == (0, "left"), words
    assert float(lines[1][1]) + float(lines[2][1]) == pytest.approx(1, abs=0.002)
    assert "softmax of the model's logits" in words
    exif = Image.Exif()
    exif[274] = 3  # upside down: left is right
    Image.open(photo).save(tmp_path / "turned.jpg", exif=exif)
    assert classify(program, "turned.jpg", cwd=tmp_path)[1].split()[1] == "right"


@brought("Images and folders", "Pixels in a .npy file, where Pillow is missing", "read")
@brought("Images and folders", "A photo, where Pillow is missing", "refused: names the package")
def test_without_pillow(folder: Path, tmp_path: Path) -> None:
    program, photo = folder / VARIANT / "classify.py", next(folder.glob("images/val/right/*"))
    pixels = np.asarray(Image.open(photo).resize((32, 32)))
    np.save(tmp_path / "pixels.npy", pixels)
    code, words = classify(program, "pixels.npy", cwd=tmp_path, without="PIL")
    assert (code, words.split()[1]) == (0, "right"), words
    code, words = classify(program, photo, cwd=tmp_path, without="PIL")
    assert code == 2
    assert "photos need Pillow: pip install pillow" in words
    assert "Traceback" not in words


@brought("Images and folders", "A PostScript file called .jpg, for classify.py", "refused")
def test_a_program_is_no_photo(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    code, words = classify(folder / VARIANT / "classify.py", "photo.jpg", cwd=tmp_path)
    assert code == 2
    assert "photo.jpg cannot be read as JPEG, PNG" in words
    assert "Traceback" not in words


@brought("Machines", "A bundle, to classify photos with", "read: classify.py lies in it")
def test_a_bundle_classifies(folder: Path, tmp_path: Path) -> None:
    done = edgekit(
        "bundle", VARIANT, "--out", tmp_path / "bundle", cwd=folder, store=folder / "store"
    )
    assert done.returncode == 0, done.stderr
    photo = next(folder.glob("images/val/left/*"))
    code, text = classify(tmp_path / "bundle/classify.py", photo, cwd=tmp_path)
    assert (code, text.split()[1]) == (0, "left"), text
    model = folder / "model.onnx"
    done = edgekit("bundle", model, "--out", tmp_path / "other", cwd=folder, store=folder / "store")
    assert done.returncode == 0, done.stderr
    code, text = classify(tmp_path / "other/classify.py", photo, cwd=tmp_path)
    assert code == 2
    assert "give a .npy file, or make the bundle with --mean and --std" in text
    assert classify(tmp_path / "other/classify.py", cwd=tmp_path)[0] == 0


@brought(
    "Machines", "A bundle of an ONNX file with --mean and --std, to classify photos with", "read"
)
def test_a_bundle_of_a_file_from_elsewhere_takes_photos(folder: Path, tmp_path: Path) -> None:
    words = ("bundle", "model.onnx", "--mean", "0", "--std", "1", "--out", tmp_path / "bundle")
    done = edgekit(*words, cwd=folder, store=folder / "store")
    assert done.returncode == 0, done.stderr
    square = tmp_path / "square.png"
    Image.open(next(folder.glob("images/val/left/*"))).resize((32, 32)).save(square)
    np.save(tmp_path / "square.npy", np.asarray(Image.open(square)))
    program = tmp_path / "bundle/classify.py"
    code, text = classify(program, "square.png", "square.npy", cwd=tmp_path)
    assert (code, text.split()[1]) == (0, "score"), text
    assert [line.split()[1] for line in text.splitlines() if "score " in line][0::2] == ["0", "0"]


@brought("Images and folders", "Some broken files among photos, for classify.py", "told: goes on")
def test_one_bad_file_ends_nothing(folder: Path, tmp_path: Path) -> None:
    program, photos = folder / VARIANT / "classify.py", tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    (photos / "empty").mkdir()
    picture = Image.open(next(folder.glob("images/val/left/*")))
    picture.save(photos / "b.png")
    picture.save(photos / "deep/a.PNG")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "notes.txt").write_text("no photo")
    np.save(tmp_path / "small.npy", np.zeros((8, 8, 3), np.uint8))
    words = ("absent.jpg", "photos/empty", "small.npy", "photos")
    code, text = classify(program, *words, cwd=tmp_path)
    assert code == 2
    assert text.count("left 1.000") == 2, text
    assert "absent.jpg: no such file" in text
    assert "photos/empty is a folder without photos" in text
    assert "small.npy holds uint8 [8, 8, 3]; uint8 [32, 32, 3] expected" in text
    assert "photos/broken.jpg cannot be read as JPEG" in text
    assert "photos: left out, as no photos by their names: 1 .txt" in text


@brought("Images and folders", "HEIC for classify.py, with pillow-heif", "read")
def test_heic(folder: Path, tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    Image.open(next(folder.glob("images/val/right/*"))).save(tmp_path / "photo.heic")
    program = folder / VARIANT / "classify.py"
    code, text = classify(program, "photo.heic", cwd=tmp_path)
    assert (code, text.split()[1]) == (0, "right"), text
    code, text = classify(program, "photo.heic", cwd=tmp_path, without="pillow_heif")
    assert code == 2
    assert "pip install pillow-heif" in text
