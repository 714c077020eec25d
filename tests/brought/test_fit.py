"""Pictures and models of other shapes than a colour square with a score for each class."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.brought import brought
from tests.commands import edgekit

pytestmark = pytest.mark.usefixtures("trusted")

RECIPE = """\
model: {{weights: {file}, input_range: 0..1{model}}}
data: {{source: imagefolder, path: images, image_size: {size}{fit}}}
stages: [{{quantize: {{method: ptq, samples: 16}}}}, export]
gates: {{max_accuracy_drop: 20}}
"""
BOARD = "{description: a board, runtimes: [onnxruntime], cpu: cortex-a76, threads: 1}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path)


def write_pictures(root: Path) -> Path:
    """Wide pictures, red at their left or at their right end."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 20)):
        for i in range(count):
            pixels = rng.integers(0, 60, (24, 72, 3), np.uint8)
            end = slice(12) if i % 2 else slice(60, None)
            pixels[:, end, 0] = 220
            into = root / "images" / split / ("left" if i % 2 else "right")
            into.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(into / f"{i}.png")
    (root / "board.yaml").write_text(BOARD)
    return root


def save_model(path: Path, weights: NDArray[np.float32]) -> None:
    """An ONNX file that multiplies an image by weights (classes, channels, height, width)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    classes, *shape = weights.shape
    rows = numpy_helper.from_array(weights.reshape(classes, -1).T.copy(), "weights")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        for name, dims in (("image", [1, *shape]), ("scores", [1, classes]))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [rows])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def ends_of(height: int, width: int) -> NDArray[np.float32]:
    """Weights that find red at the left and at the right end: class names in their order."""
    weights = np.zeros((2, 3, height, width), np.float32)
    weights[0, 0, :, : width // 6] = 0.1
    weights[1, 0, :, -width // 6 :] = 0.1
    return weights


def build(
    folder: Path, size: object = 32, fit: str = "", model: str = "", file: str = "model.onnx"
) -> tuple[int, str]:
    text = RECIPE.format(size=size, fit=f", fit: {fit}" if fit else "", model=model, file=file)
    (folder / "recipe.yaml").write_text(text)
    words = ("build", "recipe.yaml", "--target", "board.yaml")
    done = edgekit(*words, cwd=folder, store=folder / "store")
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def found(folder: Path, name: str) -> Any:
    return json.loads((folder / "build/recipe/board" / name).read_text())


@brought(
    "Images and folders",
    "Wide pictures, and a model that was trained on them squashed",
    "told: the build stops and names the line, `fit: squash`",
)
def test_a_model_of_squashed_pictures_is_found_out(folder: Path) -> None:
    save_model(folder / "model.onnx", ends_of(32, 32))
    code, words = build(folder)
    assert code == 2
    assert "in the recipe's data section write fit: squash" in words
    assert "with fit squash 100.0 %" in words


@brought(
    "ONNX files",
    "A wrong `input_range` and a wrong `fit`, of which neither alone mends anything",
    "told: the build stops, says that it takes both, and gives the two lines",
)
def test_a_wrong_range_does_not_hide_a_wrong_fit(folder: Path) -> None:
    save_model(folder / "model.onnx", ends_of(32, 32))
    see_negatives_alone(folder / "model.onnx")
    code, words = build(folder)
    assert code == 2, words
    assert "it takes both: with imagenet alone" in words
    assert "fit squash alone" in words
    assert "in the recipe's data section write fit: squash" in words
    assert "in the recipe's model section write input_range: imagenet" in words


@brought(
    "ONNX files",
    "A model trained with ImageNet's normalisation, of which the file says nothing",
    "read: `edgekit init` asks training photos and writes `input_range: imagenet`",
)
def test_a_recipe_that_init_wrote_for_an_onnx_file_is_not_stopped(folder: Path) -> None:
    save_model(folder / "model.onnx", ends_of(32, 32))
    see_negatives_alone(folder / "model.onnx")
    words = ("model.onnx", "--data", "images", "--target", "board.yaml")
    begun = edgekit("init", *words, cwd=folder, store=folder / "store")
    told = "100.0 % of 40 training photos are right with imagenet, fit squash; 50.0 % with 0..1,"
    assert f"model input: {told}" in begun.stdout
    assert f"  # {told}" in (folder / "model.yaml").read_text()
    command = ("build", "model.yaml", "--target", "board.yaml")
    done = edgekit(*command, cwd=folder, store=folder / "store")
    assert done.returncode == 0, done.stderr


def see_negatives_alone(path: Path) -> None:
    """A model that is blind to pixels unless they are normalised to numbers below zero."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    model.graph.node[0].input[0] = "seen"
    numbers = {"low": np.float32(-0.4), "zero": np.float32(0)}
    for name, value in numbers.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    before = [
        # Above 0 where a pixel is below -0.4: never in 0..1 and 0..255.
        helper.make_node("Sub", ["low", "image"], ["darker"]),
        helper.make_node("Max", ["darker", "zero"], ["dark"]),
        helper.make_node("Neg", ["dark"], ["seen"]),
    ]
    for i, node in enumerate(before):
        model.graph.node.insert(i, node)
    onnx.save(model, path)


@brought(
    "Images and folders",
    "Photos with an EXIF orientation, and a model that was trained on them as they are stored",
    "told: the build stops and names the line, `orientation: as_stored`",
)
def test_a_model_of_photos_as_they_are_stored_is_found_out(folder: Path) -> None:
    """As Keras' image_dataset_from_directory and torchvision's ImageFolder give them."""
    write_lying(folder)
    save_model(folder / "model.onnx", ends_of(32, 32))
    code, words = build(folder, fit="squash")
    assert code == 2
    assert "with orientation as_stored 100.0 %" in words
    assert "in the recipe's data section write orientation: as_stored" in words


def write_lying(folder: Path) -> None:
    """The EXIF orientation of half of the pictures mirrors them: left is right where they are
    upright."""
    exif = Image.Exif()
    exif[274] = 2
    for path in folder.glob("images/*/*/*.png"):
        if int(path.stem) // 2 % 2:
            Image.open(path).save(path, exif=exif)


@brought(
    "Images and folders",
    "The same with `orientation: as_stored`",
    "read: not turned in validation, calibration, manifest.json, the model file and classify.py",
)
def test_photos_are_served_as_they_are_stored(folder: Path) -> None:
    import onnx

    write_lying(folder)
    save_model(folder / "model.onnx", ends_of(32, 32))
    code, words = build(folder, fit="squash, orientation: as_stored")
    assert code == 0, words
    assert "30 of 60 images taken as they are stored" in words
    report = found(folder, "report.json")
    assert report["rows"][-1]["validation"]["top1"]["value"] == 100.0
    assert found(folder, "onnxruntime/manifest.json")["preprocessing"]["orientation"] == "as_stored"
    built = folder / "build/recipe/board/onnxruntime"
    props = onnx.load(built / "model.onnx").metadata_props
    assert any('"orientation": "as_stored"' in entry.value for entry in props)
    photo = next(folder.glob("images/val/left/*.png"))
    command = [sys.executable, "classify.py", str(photo), "--top", "1"]
    done = subprocess.run(command, cwd=built, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].split()[0] == "left"


@brought(
    "Images and folders",
    "The same with `fit: squash`",
    "read: squashed in validation and calibration, in manifest.json and in the model file",
)
def test_squashed_pictures_are_served_as_in_training(folder: Path) -> None:
    import onnx

    save_model(folder / "model.onnx", ends_of(32, 32))
    assert build(folder, fit="squash")[0] == 0
    report = found(folder, "report.json")
    assert report["rows"][-1]["validation"]["top1"]["value"] == 100.0
    assert report["fit"] == "squash"
    assert found(folder, "onnxruntime/manifest.json")["preprocessing"]["fit"] == "squash"
    props = onnx.load(folder / "build/recipe/board/onnxruntime/model.onnx").metadata_props
    assert any('"fit": "squash"' in entry.value for entry in props)


@brought(
    "Images and folders",
    "Pictures for a model that Keras' image_dataset_from_directory or OpenCV resized for",
    "read: `interpolation: bilinear_no_antialias`, within one of 255 of tf.image.resize",
)
def test_pictures_resized_as_keras_does(folder: Path) -> None:
    import tensorflow as tf

    save_model(folder / "model.onnx", ends_of(32, 32))
    assert build(folder, fit="squash, interpolation: bilinear_no_antialias")[0] == 0
    how = found(folder, "onnxruntime/manifest.json")["preprocessing"]
    assert how["interpolation"] == "bilinear_no_antialias"
    golden = np.load(folder / "build/recipe/board/onnxruntime/golden_input.npy")[0]
    pictures = [np.asarray(Image.open(path)) for path in folder.glob("images/val/*/*.png")]
    theirs = [tf.image.resize(p, (32, 32), "bilinear", antialias=False) for p in pictures]
    assert min(np.abs(golden - their.numpy()).max() for their in theirs) <= 1


@brought(
    "Images and folders",
    "Wide pictures that the model takes padded with black",
    "read: `fit: pad`",
)
def test_padded_pictures(folder: Path) -> None:
    save_model(folder / "model.onnx", ends_of(32, 32))
    assert build(folder, fit="pad")[0] == 0
    golden = np.load(folder / "build/recipe/board/onnxruntime/golden_input.npy")[0]
    assert golden[:10].max() == golden[-10:].max() == 0
    assert golden[16].max() > 200


@brought(
    "Images and folders",
    "Wide pictures of which a crop leaves out two fifths or more",
    "told: the report doubts that a crop is right, and says how many pictures",
)
def test_many_wide_pictures_are_a_doubt(folder: Path) -> None:
    weights = np.zeros((2, 3, 32, 32), np.float32)  # knows nothing, so that no fit is better
    weights[0, 1], weights[1, 2] = 0.01, 0.01
    save_model(folder / "model.onnx", weights)
    build(folder)
    doubts = " ".join(found(folder, "report.json")["not_measured"])
    assert "60 of 60 images oblong: the centre crop leaves out up to 67 %" in doubts


@brought(
    "Images and folders",
    "`crop_pct` beside `fit: squash`",
    "refused: a squash crops nothing",
)
def test_a_crop_of_squashed_pictures_is_refused(folder: Path) -> None:
    code, words = build(folder, fit="squash, crop_pct: 0.9")
    assert code == 2
    assert "data.crop_pct: fit: squash crops nothing: leave it out" in words


def one_score(path: Path, sigmoid: bool) -> None:
    """An ONNX file with one score, above 0 where the right end is red."""
    import onnx
    from onnx import helper

    weights = ends_of(32, 32)
    save_model(path, weights[1:] - weights[:1])
    if sigmoid:
        model = onnx.load(path)
        model.graph.node.append(helper.make_node("Sigmoid", ["scores"], ["p"]))
        model.graph.output[0].name = "p"
        onnx.save(model, path)


@brought("ONNX files", "One sigmoid score for two classes", "told: read as two scores")
@brought("ONNX files", "One logit for two classes", "told: read as two scores")
@pytest.mark.parametrize("sigmoid", [True, False])
def test_one_score_of_two_classes_becomes_two(folder: Path, sigmoid: bool) -> None:
    one_score(folder / "model.onnx", sigmoid)
    assert build(folder, fit="squash")[0] == 0
    report = found(folder, "report.json")
    assert report["rows"][-1]["validation"]["top1"]["value"] == 100.0
    kind = "probability" if sigmoid else "logit"
    assert f"its one score, a {kind}, is taken for that of right, the second class" in str(
        report["remarks"]
    )
    scores = np.load(folder / "build/recipe/board/onnxruntime/golden_scores.npy")[0]
    assert scores.sum() == pytest.approx(float(sigmoid), abs=0.05)


@brought(
    "ONNX files",
    "One sigmoid score, the classes in the other order",
    "told: the build stops and names the order to write",
)
def test_a_score_of_the_first_class_is_found_out(folder: Path) -> None:
    import onnx
    from onnx import numpy_helper

    one_score(folder / "model.onnx", sigmoid=True)
    model = onnx.load(folder / "model.onnx")
    rows = model.graph.initializer[0]
    rows.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(rows), rows.name))
    onnx.save(model, folder / "model.onnx")
    code, words = build(folder, fit="squash")
    assert code == 2
    assert 'classes: ["right", "left"]' in words


@brought(
    "ONNX files",
    "One score for two classes that ends in neither a sigmoid nor a linear layer",
    "refused: names the operator",
)
def test_a_score_of_unknown_meaning_is_refused(folder: Path) -> None:
    import onnx
    from onnx import helper

    one_score(folder / "model.onnx", sigmoid=False)
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(helper.make_node("Tanh", ["scores"], ["t"]))
    model.graph.output[0].name = "t"
    onnx.save(model, folder / "model.onnx")
    code, words = build(folder)
    assert code == 2
    assert "one score for 2 classes, made by Tanh" in words


@brought("ONNX files", "A model of grey images, one channel", "refused: names the line to write")
@brought("ONNX files", "The same with `channels: grey`", "read: images are made grey inside it")
def test_grey_images(folder: Path) -> None:
    weights = ends_of(32, 32)[:, :1]
    save_model(folder / "model.onnx", weights)
    code, words = build(folder)
    assert code == 2
    assert "it takes one channel: write channels: grey in the recipe's model section" in words
    code, words = build(folder, fit="squash", model=", channels: grey")
    assert code == 0, words
    report = found(folder, "report.json")
    assert report["rows"][-1]["validation"]["top1"]["value"] == 100.0
    golden = folder / "build/recipe/board/onnxruntime"
    pixels = np.load(golden / "golden_input.npy")[0]
    grey = np.asarray(Image.fromarray(pixels).convert("L")) / 255
    wanted = (weights[:, 0] * grey).sum((1, 2))
    np.testing.assert_allclose(np.load(golden / "golden_scores.npy")[0], wanted, rtol=0.1)


@brought("ONNX files", "A model of another image size", "refused: names the line to write")
def test_another_size_is_refused_with_the_line(folder: Path) -> None:
    save_model(folder / "model.onnx", ends_of(48, 48))
    code, words = build(folder, size=32)
    assert code == 2
    assert "write image_size: 48 in the recipe's data section" in words


def keras_model(depth: int, activation: str) -> Any:
    keras = pytest.importorskip("keras")
    last = keras.layers.Dense(1, activation=activation)
    model = keras.Sequential([keras.Input((32, 32, depth)), keras.layers.Flatten(), last])
    ends = ends_of(32, 32)
    weights = (ends[1] - ends[0])[:1].transpose(1, 2, 0)
    weights = np.concatenate([weights, *[0 * weights] * (depth - 1)], 2)
    last.set_weights([weights.reshape(-1, 1), np.zeros(1)])
    return model


@brought("Keras models", "Dense(1, sigmoid) for two classes", "told: read as two scores")
@brought("Keras models", "A model of grey images, with `channels: grey`", "read: told")
@pytest.mark.parametrize("depth", [3, 1])
def test_a_binary_keras_model_of_colour_and_grey(
    folder: Path, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if depth == 1:
        monkeypatch.undo()  # confined, as it is for everybody
    keras_model(depth, "sigmoid").save(folder / "model.keras")
    grey = ", channels: grey" * (depth == 1)
    code, words = build(folder, fit="squash", model=grey, file="model.keras")
    assert code == 0, words
    report = found(folder, "report.json")
    assert report["rows"][-1]["validation"]["top1"]["value"] == 100.0
    assert "its one score, a probability" in str(report["remarks"])
    assert ("grey" in str(report["remarks"])) == (depth == 1)
