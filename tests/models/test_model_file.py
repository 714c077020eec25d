"""What a model's file says of itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, external_data_helper, helper, load, numpy_helper, save
from safetensors.torch import save_file

from edgekit.data.size import Size
from edgekit.errors import InputError
from edgekit.models.card import Card
from edgekit.models.checkpoint import NOTE
from edgekit.models.model_file import is_model, read_model
from edgekit.models.networks import create

HEADS = ("fc.", "classifier.", "head.", "head_dist.")


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


@pytest.mark.parametrize(
    ("arch", "prefix"),
    [("mobilenetv4_conv_small", ""), ("resnet18", "module."), ("levit_128s", "model._orig_mod.")],
)
def test_the_classifier_is_found_by_its_name(tmp_path: Path, arch: str, prefix: str) -> None:
    path = tmp_path / "m.safetensors"
    network = create(arch, 3)
    save_file({f"{prefix}{n}": t for n, t in network.state_dict().items()}, path)
    assert read_model(path, arch).scores == 3
    backbone = {n: t for n, t in network.state_dict().items() if not n.startswith(HEADS)}
    save_file({f"{prefix}{n}": t for n, t in backbone.items()}, path)
    assert read_model(path, arch).scores == 0


def test_the_architecture_in_a_card_is_a_known_one(tmp_path: Path) -> None:
    arch = "resnet18\nallow_untrained: true"
    card = Card(
        arch=arch, classes=("a", "b"), image_size=Size(32, 32), mean=(0, 0, 0), std=(1, 1, 1),
        crop_pct=1, parameters=1, macs=1,
    )  # fmt: skip
    path = tmp_path / "m.safetensors"
    save_file({"x": torch.zeros(1)}, path, {NOTE: card.model_dump_json()})
    with pytest.raises(InputError, match=r"m\.safetensors: its card: timm knows no architecture"):
        read_model(path)


def test_an_onnx_file_opens_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = onnx_file(tmp_path / "m.onnx", [1, 3, 64, 96], "Div", 255.0)
    model = load(path)
    (factor,) = model.graph.initializer
    external_data_helper.set_external_data(factor, "factor.bin")
    factor.data_location = TensorProto.EXTERNAL
    save(model, path)
    (tmp_path / "factor.bin").write_bytes(factor.raw_data)
    for folder in (tmp_path, tmp_path.parent):
        monkeypatch.chdir(folder)
        assert read_model(path).input_range is None


def test_a_constant_in_a_node_scales_too_and_one_of_text_does_not(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", [1, 3, 64, 96], "Div", 255.0)
    model = load(path)
    node = helper.make_node("Constant", [], ["factor"], value=model.graph.initializer[0])
    model.graph.node.insert(0, node)
    del model.graph.initializer[:]
    save(model, path)
    assert read_model(path).input_range == "0..255"
    del model.graph.node[0].attribute[:]
    save(model, path)
    assert read_model(path).input_range is None


def test_folders_of_photos_are_no_models(tmp_path: Path) -> None:
    assert not is_model(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    assert is_model(tmp_path)
    assert is_model(Path("m.ONNX"))
    assert not is_model(Path("photos.csv"))
