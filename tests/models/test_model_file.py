"""What a model's file says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save

from edgekit.data.size import Size
from edgekit.errors import InputError
from edgekit.models.model_file import is_model, read_model


def onnx_file(path: Path, shape: list[int], first: str, factor: float) -> Path:
    """A graph that begins with one operator on its input and a number."""
    graph = helper.make_graph(
        [
            helper.make_node(first, ["x", "factor"], ["scaled"]),
            helper.make_node("Flatten", ["scaled"], ["scores"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.array(factor, np.float32), "factor")],
    )
    save(helper.make_model(graph), path)
    return path


@pytest.mark.parametrize(
    ("first", "factor", "input_range"),
    [("Div", 255.0, "0..255"), ("Mul", 1 / 127.5, "0..255"), ("Mul", 0.5, None), ("Add", 1, None)],
)
def test_an_onnx_file_says_its_input_and_scores(
    tmp_path: Path, first: str, factor: float, input_range: str | None
) -> None:
    found = read_model(onnx_file(tmp_path / "m.onnx", [1, 3, 64, 96], first, factor))
    assert (found.size, found.depth, found.layout) == (Size(64, 96), 3, "channels first")
    assert (found.scores, found.input_range) == (4, input_range)


def test_a_keras_file_says_its_input_and_scores(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 64, 64, 1]}},
        {"class_name": "Rescaling", "config": {"scale": 1 / 255, "offset": 0}},
        {"class_name": "Dense", "config": {"units": 16}},
        {"class_name": "Dense", "config": {"units": 5}},
    ]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"layers": layers}}
        )
    found = read_model(tmp_path / "m.h5")
    assert (found.size, found.depth, found.scores) == (Size(64, 64), 1, 5)
    assert (found.layout, found.input_range) == ("channels last", "0..255")


def test_a_checkpoint_says_its_architecture_or_is_asked_for_it(tmp_path: Path) -> None:
    weights = {"conv.weight": torch.zeros(8, 3, 3, 3), "fc.weight": torch.zeros(7, 8)}
    path = tmp_path / "m.pth"
    torch.save({"state_dict": weights, "arch": "resnet18"}, path)
    found = read_model(path)
    assert (found.arch, found.scores) == ("resnet18", 7)
    torch.save(weights, path)
    assert read_model(path, "resnet34").arch == "resnet34"
    with pytest.raises(InputError, match="does not say of which architecture"):
        read_model(path)


def test_folders_of_photos_are_no_models(tmp_path: Path) -> None:
    assert not is_model(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    assert is_model(tmp_path)
    assert is_model(Path("m.ONNX"))
    assert not is_model(Path("photos.csv"))
