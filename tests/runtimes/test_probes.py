"""Probes: one layer a file, in the kernels that a whole network has. No time is measured here."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.evaluation.measure import measure
from edgekit.evaluation.timing import Candidate
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.runtimes.contract.microbenchmark import Layer

LAYERS = {
    "stem": Layer(kind="conv", kernel=3, stride=2, height=33, width=33, cin=3, cout=16),
    "pointwise": Layer(kind="conv", height=8, width=8, cin=24, cout=40),
    "depthwise": Layer(kind="depthwise", kernel=5, height=8, width=8, cin=24, cout=24),
    "linear": Layer(kind="conv", height=1, width=1, cin=64, cout=2),
}
RAW = InputForm(dtype="uint8", mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "openvino"])
@pytest.mark.parametrize("integer", [True, False])
def test_a_probe_runs_its_layer_and_no_other(runtime: str, integer: bool, tmp_path: Path) -> None:
    own = find_runtimes()[runtime]()
    for name, layer in LAYERS.items():
        into = tmp_path / name
        into.mkdir()
        own.single_layer_model(layer, integer, into)
        found = own.describe(into / own.file)
        heavy = [operator for operator in found.operators if operator.heavy]
        assert [operator.is_integer for operator in heavy] == [integer], name
        assert heavy[0].macs == layer.macs
        # What turns the one value that is fed into the layer's type costs nothing.
        assert set(found.outside_delegate) <= {"QUANTIZE small", "CAST small"}


@pytest.mark.parametrize(("kernel", "suspect"), [(5, False), (7, True)])
def test_a_depthwise_convolution_without_a_kernel_of_its_own_is_suspected(
    kernel: int, suspect: bool, tmp_path: Path
) -> None:
    litert = find_runtimes()["litert"]()
    layer = Layer(kind="depthwise", kernel=kernel, height=8, width=8, cin=8, cout=8)
    litert.single_layer_model(layer, True, tmp_path)
    found = litert.describe(tmp_path / litert.file)
    assert [o.is_suspect for o in found.operators if o.heavy] == [suspect]


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "openvino"])
def test_probes_are_fed_one_value_and_give_one(runtime: str, tmp_path: Path) -> None:
    own, candidates = find_runtimes()[runtime](), []
    frame = Layer(kind="frame", height=8, width=8, cin=24, cout=24)
    for name, layer in {**LAYERS, "frame": frame}.items():
        (tmp_path / name).mkdir()
        own.single_layer_model(layer, True, tmp_path / name)
        candidates.append(Candidate(name, runtime, tmp_path / name / own.file, RAW))
    np.save(tmp_path / "images.npy", np.zeros((1, 1, 1, 1), np.uint8))
    names = tuple(candidate.id for candidate in candidates)
    outcome = measure(
        candidates, tmp_path / "images.npy", lambda *_: None, score=names, latency=False
    )
    assert {scores.shape for scores in outcome.scores.values()} == {(1, 1)}
