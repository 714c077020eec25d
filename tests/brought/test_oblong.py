"""Models of images that are wider than high."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data.framing import Framing
from edgekit.data.images import decode
from edgekit.data.size import Size
from edgekit.models import _keras
from tests.brought import brought
from tests.brought.classifiers import TARGET, Answer, Desk
from tests.brought.test_classify import classify
from tests.brought.test_fit import RECIPE, ends_of, save_model, write_pictures

pytestmark = pytest.mark.usefixtures("trusted")

SIZE = Size(32, 48)
CLASSES = ("left", "right")
WEIGHTS = ends_of(*SIZE)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("oblong"))


@pytest.fixture(scope="module")
def desk(root: Path) -> Desk:
    found = Desk.__new__(Desk)
    found.root = root
    return found


def build(desk: Desk, file: str, size: str = "[32, 48]", runtime: str = "onnxruntime") -> Answer:
    name, root = Path(file).stem, desk.root
    recipe, target = root / f"{name}.yaml", root / f"{runtime}.yaml"
    recipe.write_text(RECIPE.format(size=size, fit=", fit: squash", model="", file=file))
    target.write_text(TARGET.format(runtime))
    answer = desk.run("build", recipe, "--target", target, "--build-dir", root / "build")
    report = root / f"build/{name}/{runtime}/report.json"
    return answer._replace(report={} if answer.code else json.loads(report.read_text()))


def own_scores(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the model itself makes of decoded pixels."""
    scores: NDArray[np.float32] = (WEIGHTS * (pixels / 255).transpose(2, 0, 1)).sum((1, 2, 3))
    return scores


def own_class(file: Path) -> str:
    pixels = decode(file.read_bytes(), Framing(SIZE, fit="squash"))
    assert not isinstance(pixels, str)
    return CLASSES[own_scores(pixels).argmax()]


def is_as_good_as_its_own(answer: Answer, root: Path, folder: Path) -> bool:
    """The float file's top-1 is the model's own, and its scores are within the steps of int8."""
    right = [own_class(f) == f.parent.name for f in sorted(root.glob("images/val/*/*.png"))]
    (pixels,), (scores,) = (np.load(folder / f"golden_{what}.npy") for what in ("input", "scores"))
    np.testing.assert_allclose(scores, own_scores(pixels), atol=0.5)
    return answer.figures(folder.name, "float32")[0] == 100 * float(np.mean(right)) == 100


def every_command(desk: Desk, folder: Path, file: Path, into: Path) -> None:
    images = desk.root / "images/val"
    for words in (
        ("inspect", folder, "--images", images),
        ("estimate", file, "--target", "x86-cpu"),
        ("bundle", file, "--images", images, "--mean", 0, "--std", 1, "--out", into / "bundle"),
    ):
        answer = desk.run(*words)
        assert answer.code == 0, answer.words


@brought(
    "ONNX files",
    "A model of oblong images, with `image_size: [32, 48]` (height, width)",
    "read: in manifest.json and classify.py as in the recipe, and in every command",
)
def test_an_oblong_onnx_file(desk: Desk, tmp_path: Path) -> None:
    save_model(desk.root / "wide.onnx", WEIGHTS)
    answer = build(desk, "wide.onnx")
    assert answer.code == 0, answer.words
    assert answer.report["image_size"] == [32, 48]
    folder = desk.root / "build/wide/onnxruntime/onnxruntime"
    assert is_as_good_as_its_own(answer, desk.root, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["preprocessing"]["image_size"] == [32, 48]
    assert manifest["input"]["shape"] == [1, 32, 48, 3]
    photos = sorted(desk.root.glob("images/val/*/*.png"))[::3]
    code, words = classify(folder / "classify.py", *photos, cwd=tmp_path)
    named = [line.split()[0] for line in words.splitlines() if line.startswith("  ")][::3]
    assert (code, named) == (0, [own_class(photo) for photo in photos]), words
    every_command(desk, folder, desk.root / "wide.onnx", tmp_path)
    code, words = classify(tmp_path / "bundle/classify.py", photos[0], cwd=tmp_path)
    assert code == 0, words


@brought(
    "ONNX files",
    "A model of oblong images, its width given before its height",
    "refused: names the line to write",
)
@pytest.mark.parametrize("size", ["[48, 32]", "32", "48"])
def test_another_shape_is_refused_with_the_line(desk: Desk, size: str) -> None:
    save_model(desk.root / "turned.onnx", WEIGHTS)
    answer = build(desk, "turned.onnx", size)
    assert answer.code == 2
    assert "write image_size: [32, 48] in the recipe's data section" in answer.words


@brought("Recipes and commands", "`image_size: 96x128`", "refused: shows the form to write")
def test_a_product_is_no_size(desk: Desk) -> None:
    answer = build(desk, "none.onnx", "96x128")
    assert answer.code == 2
    assert "[height, width] expected, e.g. [96, 128], not '96x128'" in answer.words


def save_keras(path: Path) -> None:
    keras = _keras._need("keras")
    last = keras.layers.Dense(len(CLASSES))
    model = keras.Sequential([keras.Input((*SIZE, 3)), keras.layers.Flatten(), last])
    last.set_weights([WEIGHTS.transpose(2, 3, 1, 0).reshape(-1, 2), np.zeros(2)])
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)


@pytest.mark.slow
@brought("Keras models", "A model of oblong images, .keras or SavedModel", "read")
@pytest.mark.parametrize(
    ("file", "runtime"), [("wide.keras", "litert"), ("wide_saved", "onnxruntime")]
)
def test_an_oblong_keras_model(desk: Desk, file: str, runtime: str, tmp_path: Path) -> None:
    save_keras(desk.root / file)
    answer = build(desk, file + "/" * ("." not in file), runtime=runtime)
    assert answer.code == 0, answer.words
    folder = desk.root / f"build/{Path(file).stem}/{runtime}/{runtime}"
    assert is_as_good_as_its_own(answer, desk.root, folder)
    (model,) = folder.glob("model.*")
    every_command(desk, folder, Path(shutil.copy(model, tmp_path)), tmp_path)


@pytest.mark.slow
@brought("Keras models", "The same, its width given before its height", "refused: names the line")
def test_a_turned_keras_model_is_refused_with_the_line(desk: Desk) -> None:
    save_keras(desk.root / "turned.keras")
    answer = build(desk, "turned.keras", "[48, 32]")
    assert answer.code == 2
    assert "write image_size: [32, 48] in the recipe's data section" in answer.words


@pytest.mark.slow
@brought("Checkpoints", "A timm architecture, trained on oblong images", "read")
@pytest.mark.parametrize("arch", ["test_efficientnet", "test_vit"])
def test_a_timm_model_is_trained_and_pruned_for_oblong_images(desk: Desk, arch: str) -> None:
    """One of any size, and one that is built for a size."""
    prune = "{prune: {by: macs, keep: 0.8, runtime: onnxruntime, importance: taylor, force: true}}"
    training = "epochs: 12, batch_size: 8, learning_rate: 3.0e-3, augment: {horizontal_flip: false}"
    stages = [f"{{finetune: {{{training}}}}}"]
    stages += [prune, "{qat: {epochs: 1}}"] * (arch == "test_efficientnet")
    recipe, target = desk.root / f"{arch}.yaml", desk.root / "onnxruntime.yaml"
    target.write_text(TARGET.format("onnxruntime"))
    recipe.write_text(
        f"model: {{arch: {arch}, weights: scratch, mean: 0.5, std: 0.5}}\n"
        "data: {source: imagefolder, path: images, image_size: [32, 64], fit: squash}\n"
        f"stages: [{', '.join(stages)}, {{quantize: {{method: ptq, samples: 16}}}}, export]\n"
    )
    answer = desk.run("build", recipe, "--target", target, "--build-dir", desk.root / "build")
    assert answer.code == 0, answer.words
    report = json.loads((desk.root / f"build/{arch}/onnxruntime/report.json").read_text())
    assert report["image_size"] == [32, 64]
    assert report["rows"][-1]["validation"]["top1"]["value"] > 90
