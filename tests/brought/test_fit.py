"""Pictures and models of other shapes than a colour square with a score for each class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.brought import brought
from tests.build.test_run import edgekit

RECIPE = """\
model: {{weights: model.onnx, input_range: 0..1}}
data: {{source: imagefolder, path: images, image_size: {size}{fit}}}
stages: [{{quantize: {{samples: 16}}}}, export]
gates: {{max_accuracy_drop: 20}}
"""
BOARD = "{description: a board, runtimes: [onnxruntime], cpu: cortex-a76, threads: 1}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Wide pictures, red at their left or at their right end."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 20)):
        for i in range(count):
            pixels = rng.integers(0, 60, (24, 72, 3), np.uint8)
            end = slice(12) if i % 2 else slice(60, None)
            pixels[:, end, 0] = 220
            into = tmp_path / "images" / split / ("left" if i % 2 else "right")
            into.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(into / f"{i}.png")
    (tmp_path / "board.yaml").write_text(BOARD)
    return tmp_path


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


def build(folder: Path, size: object = 32, fit: str = "") -> tuple[int, str]:
    text = RECIPE.format(size=size, fit=f", fit: {fit}" if fit else "")
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
