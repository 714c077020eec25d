"""classify.py, as it lies beside every model."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data.image_folder import files_of
from edgekit.devices.bundle.from_file import bundle_of_file
from edgekit.devices.bundle.options import BundleOptions
from edgekit.devices.bundle.protocol import SLICE
from edgekit.errors import InputError
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
    "Machines",
    "A bundle of an ONNX file with --mean, --std and --labels, to classify photos with",
    "read",
)
def test_a_bundle_of_a_file_from_elsewhere_takes_photos(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("on the left\non the right\n")
    words = ("bundle", "model.onnx", "--mean", "0", "--std", "1", "--out", tmp_path / "bundle")
    labels = ("--labels", tmp_path / "names.txt")
    done = edgekit(*words, *labels, cwd=folder, store=folder / "store")
    assert done.returncode == 0, done.stderr
    square = tmp_path / "square.png"
    Image.open(next(folder.glob("images/val/left/*"))).resize((32, 32)).save(square)
    np.save(tmp_path / "square.npy", np.asarray(Image.open(square)))
    program = tmp_path / "bundle/classify.py"
    code, text = classify(program, "square.png", "square.npy", cwd=tmp_path)
    assert code == 0
    names = [line.split()[2] for line in text.splitlines() if line.startswith("  on the ")]
    assert names == ["left", "right"] * 2, text


@pytest.mark.parametrize(
    ("classes", "labelled"),
    [(None, False), (["right", "left"], True), (["a", "b"], False), (["left", "b"], None)],
)
def test_folders_of_classes_label_a_bundle(
    folder: Path, tmp_path: Path, classes: list[str] | None, labelled: bool | None
) -> None:
    (tmp_path / "names.json").write_text(json.dumps(classes))
    (tmp_path / "bundle").mkdir()
    options = BundleOptions(
        images=folder / "images/val", mean=(0, 0, 0), std=(1, 1, 1),
        labels=tmp_path / "names.json" if classes else None,
    )  # fmt: skip
    if labelled is None:
        with pytest.raises(InputError, match=r"are none of the classes in .*: right"):
            bundle_of_file(folder / "model.onnx", options, tmp_path / "bundle")
        return
    bundle = bundle_of_file(folder / "model.onnx", options, tmp_path / "bundle")
    assert bundle.info.labelled is labelled
    if labelled:
        known = bundle.reference().labels
        assert known is not None
        names = [bundle.info.classes[i] for i in known]
        assert names == [path.parent.name for path in files_of(folder / "images/val", SLICE)]


def test_labels_that_are_not_the_scores(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('["a", "b", "c"]')
    (tmp_path / "bundle").mkdir()
    options = BundleOptions(labels=tmp_path / "names.json")
    with pytest.raises(InputError, match="names 3 classes, and the model gives 2 scores"):
        bundle_of_file(folder / "model.onnx", options, tmp_path / "bundle")


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
    assert [line[:6] for line in text.splitlines()].count("  left") == 2, text
    assert text.index("  left") < text.index("  right")
    assert "absent.jpg: no such file" in text
    assert "photos/empty is a folder without photos" in text
    assert "small.npy holds uint8 [8, 8, 3]; uint8 [32, 32, 3] expected" in text
    assert "photos/broken.jpg cannot be read as JPEG" in text
    assert "photos: left out, as no photos by their names: 1 .txt" in text


@brought("Machines", "`classify.py ... | head -1`", "read: ends without a word")
def test_who_reads_may_stop(folder: Path) -> None:
    program = shlex.quote(str(folder / VARIANT / "classify.py"))
    command = f"{shlex.quote(sys.executable)} {program} | head -0"
    assert subprocess.run(command, shell=True, capture_output=True).stderr == b""


@brought(
    "ONNX files",
    "Scores in integer codes (a QuantizeLinear last), in a bundle",
    "read: classify.py shows what they stand for",
)
def test_scores_in_codes(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    save_model(model, ends_of(32, 32))
    save_in_codes(model)
    (tmp_path / "bundle").mkdir()
    bundle_of_file(model, BundleOptions(mean=(0.0,) * 3, std=(1.0,) * 3), tmp_path / "bundle")
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :5, 0] = 4  # of the first class
    np.save(tmp_path / "photo.npy", pixels)
    words = classify(tmp_path / "bundle/classify.py", "photo.npy", cwd=tmp_path)[1]
    own = 1 / (1 + np.exp(-0.1 * 5 * 32 * 4 / 255))
    scores = [float(line.split()[-1]) for line in words.splitlines()[1:3]]
    assert scores == pytest.approx([own, 1 - own], abs=1 / 256), words
    assert "probabilities, as the model gives them" in words


def save_in_codes(path: Path) -> None:
    """Let a model give its probabilities in 256ths."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    (end,) = model.graph.output
    grid = {"scale": np.float32(1 / 256), "point": np.uint8(0)}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in grid.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("Softmax", [end.name], ["shares"]),
            helper.make_node("QuantizeLinear", ["shares", *grid], ["codes"]),
            helper.make_node("Identity", ["codes"], ["given"]),
        ]
    )
    end.CopyFrom(helper.make_tensor_value_info("given", TensorProto.UINT8, [1, 2]))
    onnx.save(model, path)


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
