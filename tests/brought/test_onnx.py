"""ONNX files as exporters, zoos, optimisers and quantisers leave them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.brought import brought
from tests.brought.classifiers import CLASSES, SIZE, Answer, Desk
from tests.models.test_foreign import Before, net, pixels

__all__ = ["net", "pixels"]

pytestmark = pytest.mark.usefixtures("trusted")

Module = torch.nn.Module
HALF = "float16 weights are computed with in float32"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def colours(desk: Desk) -> Path:
    """Where `pixels` finds its images."""
    return desk.root


def export(
    model: Module, path: Path, opset: int = 13, batch: int = 1, open_axes: Any = None
) -> Any:
    """What torch's first exporter writes, as most files that people have."""
    torch.onnx.export(
        model.eval(),
        (torch.zeros(batch, 3, SIZE, SIZE),),
        str(path),
        dynamo=False,
        opset_version=opset,
        input_names=["images"],
        output_names=["out"],
        dynamic_axes=open_axes,
    )
    return onnx.load(path)


def as_is(model: Any) -> Any:
    return model


def of_ir_3(model: Any) -> Any:
    """Every constant an input too, as IR 3 demands."""
    model.ir_version = 3
    inputs = {value.name for value in model.graph.input}
    for tensor in [t for t in model.graph.initializer if t.name not in inputs]:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        model.graph.input.append(value)
    onnx.checker.check_model(model)
    return model


def turned_round(model: Any) -> Any:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(onnx.checker.ValidationError, match="sorted"):
        onnx.checker.check_model(model)
    return model


def halved(model: Any, keep_ends: bool) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(model, keep_io_types=keep_ends)


def with_halved_weights(model: Any) -> Any:
    """Weights in float16, each widened before it is used, as compressors leave them."""
    graph = model.graph
    for tensor in [t for t in graph.initializer if t.data_type == TensorProto.FLOAT]:
        name = tensor.name
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        cast = helper.make_node(
            "Cast", [tensor.name], [name], f"widen_{name}", to=TensorProto.FLOAT
        )
        graph.node.insert(0, cast)
    return model


def passed(answer: Answer, *runtimes: str) -> Answer:
    """The build is right, in float and in int8."""
    assert answer.code == 0, answer.words
    for runtime in runtimes or ("onnxruntime",):
        for precision in ("float32", "int8"):
            assert min(answer.figures(runtime, precision)) > 90, answer.words
    return answer


def bring(desk: Desk, net: Module, change: Callable[[Any], Any], **options: Any) -> Answer:
    name = "model.onnx"
    onnx.save(change(export(net, desk.root / name, **options)), desk.root / name)
    return desk.build(name)


@brought("ONNX files", "IR version 3, every constant an input too (the zoo's first years)", "read")
def test_ir_3(desk: Desk, net: Module) -> None:
    passed(bring(desk, net, of_ir_3))


@pytest.mark.parametrize("opset", [7, 9])
@brought("ONNX files", "opset 7 and 9 with IR version 3", "read: converted to a later opset")
def test_an_old_opset(desk: Desk, net: Module, opset: int) -> None:
    passed(bring(desk, net, of_ir_3, opset=opset))


@brought("ONNX files", "nodes in any order, which ONNX Runtime accepts", "read: they are sorted")
def test_unsorted_nodes(desk: Desk, net: Module) -> None:
    passed(bring(desk, net, turned_round))


@pytest.mark.parametrize("keep_ends", [True, False])
@brought("ONNX files", "float16 throughout, with float32 or float16 ends", "read: told, in float32")
def test_float16(desk: Desk, net: Module, keep_ends: bool) -> None:
    answer = passed(bring(desk, net, lambda model: halved(model, keep_ends)))
    assert HALF in answer.report["remarks"]["source"]


@brought("ONNX files", "float16 weights behind Cast operators", "read: told, in float32")
def test_float16_weights(desk: Desk, net: Module) -> None:
    answer = passed(bring(desk, net, with_halved_weights))
    assert HALF in answer.report["remarks"]["source"]
    assert HALF in answer.words


class Rows(torch.nn.Module):
    """Flattened with the batch written into the graph, as `view` was in old models."""

    def __init__(self, net: Module, batch: int) -> None:
        super().__init__()
        self.net, self.batch = net, batch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole: torch.Tensor = self.net(x).view(self.batch, 2, 2).reshape(self.batch, 4)
        return whole


class Together(torch.nn.Module):
    """Scores that depend on the other images."""

    def __init__(self, net: Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.net(x)
        return scores - scores.mean(0, keepdim=True)


@brought("ONNX files", "a fixed batch of 8", "read: told, for one image")
def test_a_fixed_batch(desk: Desk, net: Module) -> None:
    for model in (net, Rows(net, 8)):
        answer = passed(bring(desk, model, as_is, batch=8))
        assert "made for 8 images at a time" in answer.report["remarks"]["source"]


@brought("ONNX files", "a batch that its scores depend on", "refused: with the operator's name")
def test_a_batch_that_cannot_be_changed(desk: Desk, net: Module) -> None:
    answer = bring(desk, Together(net), as_is, batch=8)
    assert answer.code == 2
    assert "runs on 8 images at a time alone" in answer.words


@pytest.mark.parametrize("shape", [(1, len(CLASSES), 1, 1), (len(CLASSES),)])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@brought("ONNX files", "scores of the shape [1, n, 1, 1] or [n]", "read, for every runtime")
def test_scores_of_other_shapes(
    desk: Desk, net: Module, shape: tuple[int, ...], runtime: str
) -> None:
    export(Before(net, None, lambda y: y.reshape(shape)), desk.root / "shaped.onnx")
    if runtime == "openvino":
        pytest.importorskip("openvino")
    passed(desk.build("shaped.onnx", runtime), runtime)


@brought("ONNX files", "open batch, height and width", "read")
def test_open_axes(desk: Desk, net: Module) -> None:
    axes = {"images": {0: "n", 2: "h", 3: "w"}, "out": {0: "n"}}
    passed(bring(desk, net, as_is, open_axes=axes))


@brought("ONNX files", "a shape that says nothing: [?, ?, ?, ?]", "read: by what it runs on")
def test_a_shape_that_says_nothing(desk: Desk, net: Module) -> None:
    axes = {"images": {0: "n", 1: "c", 2: "h", 3: "w"}, "out": {0: "n"}}
    passed(bring(desk, net, as_is, open_axes=axes))


@pytest.mark.parametrize("level", ["ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
@brought("ONNX files", "saved by ONNX Runtime's optimiser", "refused: what to give instead")
def test_saved_by_the_optimiser(desk: Desk, net: Module, level: str) -> None:
    import onnxruntime

    export(net, desk.root / "plain.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(desk.root / "optimised.onnx")
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    onnxruntime.InferenceSession(desk.root / "plain.onnx", options, providers=providers)
    answer = desk.build("optimised.onnx")
    assert answer.code == 2
    assert "was saved by ONNX Runtime's optimiser" in answer.words
    assert "give the file that was optimised" in answer.words


def quantized(desk: Desk, net: Module, how: str) -> Path:
    from onnxruntime import quantization

    source, into = desk.root / "float.onnx", desk.root / f"{how}.onnx"
    export(net, source)
    if how == "dynamic":
        quantization.quantize_dynamic(source, into)
        return into

    class Images:
        rows = iter(np.random.default_rng(0).random((4, 1, 3, SIZE, SIZE), np.float32))

        def get_next(self) -> Any:
            return next(({"images": row} for row in self.rows), None)

    format = getattr(quantization.QuantFormat, how)
    quantization.quantize_static(source, into, Images(), quant_format=format)
    return into


@pytest.mark.parametrize("batch", [1, "n"])
@brought("ONNX files", "channels first, open batch, in inspect, estimate and bundle", "read")
def test_channels_first_in_every_command(desk: Desk, net: Module, batch: int | str) -> None:
    file, original = quantized(desk, net, "QDQ"), desk.root / "float.onnx"
    for path in (file, original):
        model = onnx.load(path)
        for value in (*model.graph.input, *model.graph.output):
            dim = value.type.tensor_type.shape.dim[0]
            dim.ClearField("dim_value")
            setattr(dim, "dim_param" if batch == "n" else "dim_value", batch)
        onnx.save(model, path)
    said = desk.commands(file, original)
    assert {answer.code for answer in said.values()} == {0}, said
    assert "The scores have 4" in said["inspect"].words
    assert "24 images" in said["bundle"].words
    estimate = json.loads(said["estimate"].words)
    assert estimate["precision"] == "int8"
    # 15 x 15 x 8 x 27, 7 x 7 x 16 x 72 and 16 x 4
    assert sum(estimate["workload"]["by_precision"].values()) == 48600 + 56448 + 64


@brought("ONNX files", "open height and width, in estimate and bundle", "refused: fix them")
def test_open_sides_in_every_command(desk: Desk, net: Module) -> None:
    axes = {"images": {0: "n", 2: "h", 3: "w"}}
    file = desk.root / "open.onnx"
    export(net, file, open_axes=axes)
    for answer in desk.commands(file, file).values():
        assert answer.code == 2
        assert "export it with" in answer.words


@pytest.mark.parametrize("how", ["QDQ", "QOperator", "dynamic"])
@brought("ONNX files", "quantised already, in any of three ways", "refused: give the float model")
def test_quantised_already(desk: Desk, net: Module, how: str) -> None:
    answer = desk.build(quantized(desk, net, how).name)
    assert answer.code == 2
    assert "is quantised already" in answer.words
    assert "give the float model it was made from" in answer.words


@brought("ONNX files", "two inputs or two outputs", "refused: they are named")
def test_two_outputs(desk: Desk, net: Module) -> None:
    def second(model: Any) -> Any:
        inner = model.graph.node[-1].input[0]
        model.graph.output.append(helper.make_tensor_value_info(inner, TensorProto.FLOAT, [1, 16]))
        return model

    answer = bring(desk, net, second)
    assert answer.code == 2
    assert "2 outputs (out, " in answer.words


@brought("ONNX files", "weights in a file beside it", "read")
def test_weights_beside(desk: Desk, net: Module) -> None:
    model = export(net, desk.root / "split.onnx")
    onnx.save(
        model, desk.root / "split.onnx", save_as_external_data=True, location="w.bin",
        size_threshold=0,
    )  # fmt: skip
    passed(desk.build("split.onnx"))
    for command, done in desk.commands(desk.root / "split.onnx", desk.root / "split.onnx").items():
        assert done.code == 0, (command, done.words)
    bundle = desk.root / "bundle-split.onnx"
    assert (bundle / "w.bin").read_bytes() == (desk.root / "w.bin").read_bytes()
    assert "w.bin" in (bundle / "SHA256SUMS").read_text()
    (desk.root / "w.bin").unlink()
    answer = desk.build("split.onnx")
    assert answer.code == 2
    assert "keeps its weights in w.bin, which is not there" in answer.words


class SureOfNegatives(torch.nn.Module):
    """Sees a picture in any range, and is sure of its class only where pixels are negative, as a
    network can be that was trained on -1..1."""

    def __init__(self, net: Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> Any:
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        scores = self.net((x - low) / (high - low))
        return scores * torch.where(low < -0.1, 1.0, 0.02).flatten(1)


@brought(
    "ONNX files",
    "A wrong `input_range` with which every image is still classified rightly, but hardly",
    "told: terminal and report list the ranges that do no worse, best first, with accuracy and "
    "log-loss, and the line to write for the first",
)
def test_a_range_with_which_a_model_is_right_but_unsure_is_told(desk: Desk, net: Module) -> None:
    export(SureOfNegatives(net), desk.root / "unsure.onnx")
    unsure = passed(desk.build("unsure.onnx", model="input_range: 0..1"))
    told = unsure.report["remarks"]["model input"]
    assert " ".join(told.split()) in " ".join(unsure.words.split())
    declared, *others = map(float, re.findall(r"log-loss (\d+\.\d{3})", told))
    assert declared > 1
    assert others[0] < 0.5
    assert others == sorted(others), "every image is right with each of them"
    assert len(re.findall(r"(-1..1|imagenet): 100.0 %, log-loss \S+ \(surer\)", told)) == 2
    (line,) = re.findall(r"write (input_range: \S+)\.", told)
    sure = passed(desk.build("unsure.onnx", model=line))
    assert "surer" not in sure.words
