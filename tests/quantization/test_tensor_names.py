"""A compiled file's tensors are told by what they hold; and one grid is one grid everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.data.size import Size
from edgekit.quantization import fake_quant, tensor_names
from edgekit.quantization import ranges as choices
from edgekit.quantization.fold_batch_norm import fold_batch_norm
from edgekit.quantization.trace import trace
from tests.runtimes.tiny import IMAGES, SIZE, Made, card, made

NEEDS = {"onnxruntime": "onnxslim", "litert": "litert_torch", "openvino": "nncf"}
LAYERS = ("first", "deep", "second", "head")


def network() -> Any:
    """BatchNorm, ReLU, hard-swish, a depthwise convolution and a residual sum."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
            self.first_norm = nn.BatchNorm2d(8)
            self.relu = nn.ReLU()
            self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
            self.deep_norm = nn.BatchNorm2d(8)
            self.swish = nn.Hardswish()
            self.second = nn.Conv2d(8, 8, 1)
            self.head = nn.Linear(8, 3)

        def forward(self, image: Any) -> Any:
            early = self.relu(self.first_norm(self.first(image)))
            late = self.swish(self.deep_norm(self.deep(early)))
            return self.head((early + self.second(late)).mean((2, 3)))

    torch.manual_seed(0)
    model = Net().eval()
    for norm in (model.first_norm, model.deep_norm):
        torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
        torch.nn.init.normal_(norm.bias, std=0.3)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.05, 2.0)
    return model


@pytest.fixture(scope="module")
def snapped() -> Any:
    """What qat leaves: folded, and its weights on their grid."""
    folded = fold_batch_norm(network(), Size.square(SIZE))
    fake_quant.snap(folded, fake_quant.weight_names(folded, trace(folded, Size.square(SIZE))))
    return folded


@pytest.fixture(scope="module")
def ranges(snapped: Any) -> dict[str, tuple[float, float]]:
    planes = torch.from_numpy((IMAGES / 127.5 - 1).astype(np.float32)).permute(0, 3, 1, 2)
    return fake_quant.observe(
        snapped, trace(snapped, Size.square(SIZE)), torch.split(planes, 1), "mse"
    )


@pytest.fixture(scope="module", params=sorted(NEEDS))
def build(
    request: Any,
    tmp_path_factory: pytest.TempPathFactory,
    snapped: Any,
    ranges: dict[str, tuple[float, float]],
) -> Made:
    """Quantised by each runtime as it likes, and with the ranges of the simulation."""
    pytest.importorskip(NEEDS[request.param])
    result = made(request.param, tmp_path_factory.mktemp(request.param), snapped, card())
    result.quantize("int8")
    own = choices.collect(iter(result.tensors("float")))
    pinned = {name: choices.choose(histogram, "minmax") for name, histogram in own.items()}
    path, form = result.path("float"), result.forms["float"]
    pinned |= tensor_names.same_ranges(snapped, result.runtime, path, form, ranges)
    result.quantize("pinned", ranges=pinned)
    return result


def test_every_point_is_found_in_the_compiled_file(
    build: Made, snapped: Any, ranges: dict[str, tuple[float, float]]
) -> None:
    path, form = build.path("float"), build.forms["float"]
    found = tensor_names.same_ranges(snapped, build.runtime, path, form, ranges)
    assert set(found) <= set(build.tensors("float", IMAGES[:1])[0])
    positions = {"image", "relu.relu", "deep_norm.batch_norm", "swish.hardswish", "second.conv2d",
              "add", "mean", "head.linear"}  # fmt: skip
    assert set(ranges) == positions
    assert set(found.values()) == {ranges[name] for name in positions}


def test_the_integers_of_the_weights_are_the_same_in_every_file(build: Made, snapped: Any) -> None:
    stored = READERS[build.runtime.name](build.path("int8"))
    for name in LAYERS:
        weight = getattr(snapped, name).weight.detach().double().numpy()
        flat = weight.reshape(len(weight), -1)
        expected = np.rint(flat / (np.abs(flat).max(1, keepdims=True) / 127)).astype(int)
        assert any(np.array_equal(expected, integers) for integers in stored), name


def test_the_scales_of_activations_are_the_same_in_every_file(
    build: Made, ranges: dict[str, tuple[float, float]]
) -> None:
    stored = SCALES[build.runtime.name](build.path("pinned"))
    missing = [
        name
        for name, (low, high) in ranges.items()
        if not any(np.isclose((high - low) / 255, scale, rtol=1e-5) for scale in stored)
    ]
    assert missing == NOT_QUANTISED[build.runtime.name]


def scales_of_onnx(path: Path) -> list[float]:
    import onnx

    graph = onnx.load(path).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    return [float(constants[node.input[1]]) for node in quantizers]


def scales_of_tflite(path: Path) -> list[float]:
    from edgekit.runtimes import _tflite as tflite

    graph = tflite.read(path).subgraphs[0]
    codes = [t.quantization for t in graph.tensors if t.quantization is not None]
    return [float(c.scale[0]) for c in codes if c.scale is not None and len(c.scale) == 1]


def scales_of_openvino(path: Path) -> list[float]:
    import openvino

    found = []
    for op in openvino.Core().read_model(path).get_ops():
        if op.get_type_name() == "FakeQuantize":
            low, high = (op.input_value(i).get_node().get_data().item() for i in (3, 4))
            found.append((high - low) / 255)
    return found


NOT_QUANTISED = {
    "litert": [],
    "onnxruntime": ["head.linear"],
    "openvino": ["deep_norm.batch_norm", "head.linear"],
}
"""Scores, and what a hard-swish of OpenVINO takes: computed in the arithmetic of their layer."""
SCALES = {
    "onnxruntime": scales_of_onnx, "litert": scales_of_tflite, "openvino": scales_of_openvino,
}  # fmt: skip


def by_channel(values: Any, depthwise: bool = False) -> Any:
    """(out, height, width, in), or (1, height, width, out) where depthwise, as torch has it."""
    if values.ndim == 4:
        values = values.transpose(3, 0, 1, 2) if depthwise else values.transpose(0, 3, 1, 2)
    return values.reshape(len(values), -1).astype(int)


def of_onnx(path: Path) -> list[Any]:
    import onnx

    found = []
    for tensor in onnx.load(path).graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.int8 and values.ndim > 1:
            found += [values.reshape(len(values), -1).astype(int), values.T.astype(int)]
    return found


def of_tflite(path: Path) -> list[Any]:
    from edgekit.runtimes import _tflite as tflite

    model = tflite.read(path)
    graph, found = model.subgraphs[0], []
    for op, kind in zip(graph.operators, tflite.kinds(model), strict=True):
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            tensor = graph.tensors[op.inputs[1]]
            data = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
            found.append(by_channel(data.reshape(tensor.shape), kind.startswith("DEPTH")))
    return found


def of_openvino(path: Path) -> list[Any]:
    import openvino

    found = []
    for op in openvino.Core().read_model(path).get_ops():
        if op.get_type_name() == "Constant" and op.get_element_type().get_type_name() == "i8":
            values = op.get_data()
            found.append(values.reshape(len(values), -1).astype(int))
            if values.ndim == 5:  # of a grouped convolution: groups, outputs of each, ...
                found.append(values.reshape(values.shape[0] * values.shape[1], -1).astype(int))
    return found


READERS = {"onnxruntime": of_onnx, "litert": of_tflite, "openvino": of_openvino}


def test_tensors_of_one_size_are_told_apart_by_their_values() -> None:
    rng = np.random.default_rng(0)
    positions = [
        {n: rng.normal(size=(1, 2, 3, 4)).astype(np.float32) for n in "ab"} for _ in range(2)
    ]
    made_ = [
        {"turned": p["b"].transpose(0, 2, 3, 1), "flat": p["a"].ravel(), "else": p["a"] * 1.01}
        for p in positions
    ]
    assert tensor_names.matching_names(positions, made_) == {"turned": "b", "flat": "a"}
    made_[1]["flat"] = positions[1]["a"] * 2
    assert tensor_names.matching_names(positions, made_) == {"turned": "b"}


def test_probes_are_images_of_any_size() -> None:
    found = tensor_names.probes(Size(33, 50))
    assert found.shape == (tensor_names.PROBE_IMAGES, 33, 50, 3)
    assert found.dtype == np.uint8
    assert len(np.unique(found)) > 200
