"""A workload is a sum over what a runtime describes, and alike whichever runtime describes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.data.size import Size
from edgekit.devices.estimate.workload import summed, workload_of
from edgekit.models.card import Card
from edgekit.models.timm_models import count_macs, create
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.description import Description, Operator, Port
from tests.devices.estimate.workloads import workload

SIZE = 64


def described(*operators: Operator) -> Description:
    port = Port(name="x", shape=(1,), dtype="int8")
    return Description(input=port, output=port, operators=operators, per_channel=True)


def operator(precision: str, macs: int, work: str | None, **sizes: int) -> Operator:
    return Operator(
        name="o", kind="O", precision=precision, heavy=bool(work), macs=macs, work=work, **sizes
    )


def test_work_is_summed_by_kind_and_by_precision() -> None:
    found = summed(
        described(
            operator("int8", 100, "conv", weights=10, moved=1000),
            operator("uint8", 20, "depthwise", weights=2, moved=200),
            operator("float32", 3, "dense", weights=1, moved=30),
            operator("int8", 0, None, moved=7),
        )
    )
    assert (found.conv, found.depthwise, found.dense, found.product) == (100, 20, 3, 0)
    assert found.by_precision == {"int8": 120, "float32": 3}
    assert (found.weights, found.moved, found.operators, found.macs) == (13, 1237, 4, 123)
    assert found.precision == "int8"


def test_half_in_float_is_neither() -> None:
    both = summed(described(operator("int8", 5, "conv"), operator("float32", 5, "conv")))
    assert both.precision == "mixed"
    assert workload(conv=1, precision="float16").precision == "float16"
    assert summed(described(operator("int8", 0, None))).precision == "mixed"


@pytest.mark.parametrize("name", ["litert", "onnxruntime", "openvino"])
def test_every_runtime_tells_the_same_of_a_model(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for library in {"litert": ("litert_torch",), "openvino": ("openvino",)}.get(name, ("onnx",)):
        pytest.importorskip(library)
    torch.manual_seed(0)
    model = create("mobilenetv3_small_050", 10)
    half = (0.5, 0.5, 0.5)
    card = Card(
        arch="mobilenetv3_small_050", classes=tuple("0123456789"), image_size=SIZE, mean=half,
        std=half, crop_pct=1.0, parameters=0, macs=0,
    )  # fmt: skip
    runtime = find_runtimes()[name]()
    runtime.compile(model, card, tmp_path, lambda *_: None)
    found = workload_of(runtime, tmp_path / runtime.file)
    assert found.macs == count_macs(model, Size.square(SIZE))
    expected = {"conv": 0, "depthwise": 0, "dense": 0}
    for module in _convolutions(model):
        macs = module.weight.numel() * module.seen
        grouped = module.groups == module.in_channels > 1
        pointwise = module.kernel_size == (1, 1)
        expected["depthwise" if grouped else "dense" if pointwise else "conv"] += macs
    expected["dense"] += model.classifier.weight.numel()
    assert {kind: getattr(found, kind) for kind in expected} == expected
    assert found.product == 0
    assert found.precision == "float32"
    # Folded normalisations leave biases, which OpenVINO fuses; x86's convolutions pad channels.
    parameters = 4 * sum(p.numel() for n, p in model.named_parameters() if "bn" not in n)
    assert 0.99 * parameters <= found.weights <= 1.1 * parameters
    # At least each layer's output, written once and read once.
    assert found.moved > 2 * 4 * sum(m.out_channels * m.seen for m in _convolutions(model))


def _convolutions(model: Any) -> list[Any]:
    """Those of a torch model, each with its number of output pixels as `seen`."""
    import torch

    found = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    hooks = [
        m.register_forward_hook(lambda m, _, out: setattr(m, "seen", out.shape[2] * out.shape[3]))
        for m in found
    ]
    with torch.no_grad():
        model(torch.zeros(1, 3, SIZE, SIZE))
    for hook in hooks:
        hook.remove()
    return found
