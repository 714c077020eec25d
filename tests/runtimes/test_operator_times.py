"""The times of operators are told of those that `describe` lists. None is asserted."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.errors import EdgekitError
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import TimesOperators
from edgekit.runtimes.contract.operator_times import LEAST_RUNS, OperatorTimes
from tests.runtimes.tiny import card, made, network

RUNTIMES = ["litert", "onnxruntime", "openvino"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_operator_that_runs_has_its_time(runtime: str, tmp_path: Path) -> None:
    files = made(runtime, tmp_path, network(), card())
    files.quantize("int8")
    files.bake("int8")
    names = ["float", "int8-baked"]
    if runtime == "litert":
        files.quantize("half", precision="float16")  # its weights are unpacked by operators
        names.append("half")
    for name in names:
        assert isinstance(files.runtime, TimesOperators)
        found = files.runtime.operator_times(files.path(name), 0.0)
        described = files.runtime.describe(files.path(name)).operators
        known = [one.operator.model_copy(update={"name": ""}) for one in found.operators]
        # OpenVINO makes up names of what is not in the file, with a counter.
        assert known == [one.model_copy(update={"name": ""}) for one in described]
        assert sum(one.seconds for one in found.operators) > 0
        assert len(found.inferences) == LEAST_RUNS
        assert OperatorTimes.model_validate_json(found.model_dump_json()) == found


def test_onnx_nodes_without_a_name_have_their_times(tmp_path: Path) -> None:
    """ONNX Runtime's profiler makes names of their kinds: `Sigmoid_3`."""
    kinds = ["Sigmoid", "Softplus", "Sigmoid", "Tanh"]
    values = ["input", "a", "b", "c", "output"]
    nodes = [
        helper.make_node(kind, [source], [sink])
        for kind, source, sink in zip(kinds, values, values[1:], strict=False)
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 64, 64])
        for name in (values[0], values[-1])
    ]
    graph = helper.make_graph(nodes, "nameless", ports[:1], ports[1:])
    version = helper.make_opsetid("", 17)
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[version], ir_version=8), path)
    own = find_runtimes()["onnxruntime"]()
    assert isinstance(own, TimesOperators)
    found = own.operator_times(path, 0.0).operators
    assert [one.operator.kind for one in found] == kinds
    assert all(one.seconds > 0 for one in found)


def test_a_pad_goes_with_the_convolution_that_reads_it(tmp_path: Path) -> None:
    files = made("litert", tmp_path, network(), card())
    assert isinstance(files.runtime, TimesOperators)
    found = files.runtime.operator_times(files.path("float"), 0.0)
    pads = [one.seconds for one in found.operators if one.operator.kind == "PAD"]
    assert pads == [0.0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_no_model_is_refused(runtime: str, tmp_path: Path) -> None:
    own = find_runtimes()[runtime]()
    assert isinstance(own, TimesOperators)
    path = tmp_path / own.file
    path.write_bytes(b"no model")
    with pytest.raises(EdgekitError, match=own.file):
        own.operator_times(path, 0.0)
