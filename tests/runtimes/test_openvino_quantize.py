"""OpenVINO's int8: NNCF runs once for all ranges, and weights lie on edgekit's own grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.agent import agent
from edgekit.errors import Unsupported
from edgekit.quantization.rounding import grid
from edgekit.runtimes import _openvino_nncf
from edgekit.runtimes.contract.settings import Quantization
from edgekit.runtimes.openvino import OpenVino
from tests.runtimes.tiny import IMAGES, card

openvino = pytest.importorskip("openvino")
pytest.importorskip("nncf")
NAMES = ("0", "2", "6")


def network() -> Any:
    """The weights of the second layer's last channel are a thousandth of the others'."""
    torch.manual_seed(0)
    layers = torch.nn
    model: Any = layers.Sequential(
        *(layers.Conv2d(3, 8, 3, 2), layers.ReLU(), layers.Conv2d(8, 8, 3, groups=8)),
        *(layers.ReLU(), layers.AdaptiveAvgPool2d(1), layers.Flatten(), layers.Linear(8, 3)),
    ).eval()
    model[2].weight.data[-1] /= 1000
    return model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("float")
    OpenVino().compile(network(), card(), folder, lambda *_: None)
    return folder / OpenVino.file


def ranges_of(source: Path) -> dict[str, tuple[float, float]]:
    return {found.name: (0.0, 4.0) for found in OpenVino().activations(source)}


def quantized(source: Path, into: Path, exact_sums: bool = True, **settings: Any) -> Path:
    settings = {"ranges": ranges_of(source), **settings}
    asked = Quantization(quantizer="nncf", **settings)
    runtime = OpenVino(exact_sums)
    runtime.quantize(source, card(), IMAGES, asked, into, lambda *_: None)
    return into / runtime.file


def test_nncf_runs_once_for_all_ranges_of_a_model(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nncf

    own, runs = nncf.quantize, []

    def counted(*arguments: Any, **options: Any) -> Any:
        runs.append(1)
        return own(*arguments, **options)

    monkeypatch.setattr(nncf, "quantize", counted)
    _openvino_nncf._placed.cache_clear()
    steps = []
    for high in (2.0, 3.0):
        path = quantized(source, tmp_path, ranges=ranges_of(source) | {"1/Relu": (0.0, high)})
        found = {a.name: a.step for a in OpenVino().activations(path)}
        steps.append(found["1/Relu"])
    assert runs == [1]
    assert steps == pytest.approx([2 / 255, 3 / 255])
    quantized(source, tmp_path, float_ops=("6/MatMul",))
    assert runs == [1, 1]


@pytest.mark.parametrize("exact_sums", [True, False])
def test_weights_lie_on_the_grid_they_are_rounded_for(
    source: Path, tmp_path: Path, exact_sums: bool
) -> None:
    """But for processors whose sums saturate its step is twice as large, in layers that sum."""
    model = network()
    found = OpenVino().weights(quantized(source, tmp_path, exact_sums))
    for name, values in zip(NAMES, found.values(), strict=True):
        weight = model[int(name)].weight.data
        step = grid(weight).numpy() * (1 if exact_sums or name == "2" else 2)
        codes = values.reshape(weight.shape) / step
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)
        np.testing.assert_allclose(codes, weight.numpy() / step, atol=0.501)


def test_a_group_of_several_inputs_adds_products_in_pairs(tmp_path: Path) -> None:
    """Unlike a depthwise layer it gets seven bits where sums may saturate."""
    torch.manual_seed(0)
    layers = torch.nn
    model = layers.Sequential(
        *(layers.Conv2d(3, 8, 3, 2), layers.ReLU(), layers.Conv2d(8, 8, 3, groups=4)),
        *(layers.AdaptiveAvgPool2d(1), layers.Flatten()),
    ).eval()
    for name in ("float", "int8"):
        (tmp_path / name).mkdir()
    OpenVino().compile(model, card(), tmp_path / "float", lambda *_: None)
    path = quantized(tmp_path / "float" / OpenVino.file, tmp_path / "int8", exact_sums=False)
    *_, values = OpenVino().weights(path).values()
    weight: Any = model[2].weight
    codes = values.reshape(weight.shape) / (2 * grid(weight.data).numpy())
    assert values.shape == (4, 2, 2, 3, 3)
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)
    assert abs(codes).max() <= 64


def test_a_quantiser_without_a_range_is_named(source: Path, tmp_path: Path) -> None:
    ranges = ranges_of(source)
    del ranges["1/Relu"]
    with pytest.raises(Unsupported, match="NNCF quantises 1/Relu"):
        quantized(source, tmp_path, ranges=ranges)


def test_a_file_says_for_which_processors_it_is(source: Path, tmp_path: Path) -> None:
    path = quantized(source, tmp_path, exact_sums=False)
    said = openvino.Core().read_model(path).get_rt_info(["edgekit", "made_for"])
    assert "with and without VNNI" in said.value


@pytest.mark.parametrize(
    ("device", "isa", "exact"),
    [
        ("CPU", None, False),
        ("CPU", "x86-64", False),
        ("CPU", "x86-64 avx512_vnni", True),
        ("CPU", "armv8-a+fp+simd+crc", True),
        ("NPU", "x86-64", True),
    ],
)
def test_weights_have_eight_bits_where_no_sum_saturates(
    device: str, isa: str | None, exact: bool
) -> None:
    assert OpenVino().for_target(device, isa).exact_sums is exact


def test_scores_are_of_exact_sums_on_any_processor(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, asked = openvino.Core.compile_model, []

    def watched(core: Any, path: str, device: str, options: dict[str, str]) -> Any:
        asked.append("LP_TRANSFORMS_MODE" in options)
        return own(core, path, device, options)

    monkeypatch.setattr(openvino.Core, "compile_model", watched)
    for instructions in ([], ["avx512_vnni"]):
        monkeypatch.setattr(agent, "int8_instructions", lambda found=instructions: found)
        for exact in (True, False):
            agent.open_openvino(str(source), 1, exact)
    assert asked == [True, False, False, False]


def test_scores_that_would_saturate_are_an_error(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(core: Any, path: str, device: str, options: dict[str, str]) -> Any:
        raise RuntimeError(f"NotFound: Unsupported property {[*options][-1]} by CPU plugin")

    monkeypatch.setattr(openvino.Core, "compile_model", refuses)
    monkeypatch.setattr(agent, "int8_instructions", list)
    with pytest.raises(RuntimeError, match="has no option LP_TRANSFORMS_MODE"):
        agent.open_openvino(str(source), 1, exact=True)
