"""A board that was measured tells by how much estimates from counted instructions are off there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.cycle_model.file_estimate import CycleEstimate
from edgekit.data.size import Size
from edgekit.devices.estimate import cycle_scale
from edgekit.devices.estimate.calibrate import _with_scales
from edgekit.devices.estimate.cycle_scale import CycleScale, scale_of, scale_on
from edgekit.devices.estimate.latency_model import FEATURES, Fit, LatencyModel, ProbeSample
from edgekit.devices.estimate.probes import Made, Probe
from edgekit.devices.trial import FOLDER
from edgekit.engine.store import Store
from edgekit.errors import DeviceError
from edgekit.evidence import Evidence, Measurement
from edgekit.runtimes.contract.input_form import InputForm
from tests.devices.estimate.workloads import workload

FORM = InputForm(dtype="float32", mean=(0.0,) * 3, std=(1.0,) * 3)


def estimated(milliseconds: float) -> CycleEstimate:
    latency = Measurement(
        value=milliseconds, unit="ms", evidence=Evidence.ESTIMATED, method="counted"
    )
    fields: Any = {"latency": latency}
    return CycleEstimate.model_construct(**fields)


def probes(count: int) -> list[Made]:
    return [
        Made(
            probe=Probe(arch=f"net{i}", image_size=Size.square(96), classes=2),
            runtime="onnxruntime",
            precision="float32",
            files=(FOLDER / "float32.onnx",),
            form=FORM,
            workload=workload(),
        )
        for i in range(count)
    ]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each file is estimated at 10 ms."""
    counted: list[Any] = []

    def estimate(runtime: Any, file: Path, *_: Any) -> CycleEstimate:
        counted.append(file)
        return estimated(10.0)

    monkeypatch.setattr(cycle_scale, "estimate_file", estimate)
    return counted


def test_the_scale_is_the_median_and_its_range(store: Store, counting: list[Any]) -> None:
    seconds = [0.009, 0.010, 0.011, 0.012, 0.013, 0.014, 0.015]
    found = scale_on(probes(7), seconds, "cortex-a72", store, lambda line: None)
    assert len(counting) == cycle_scale.COUNTED
    assert found
    assert (found.low, found.value, found.high) == pytest.approx((0.9, 1.1, 1.4))
    applied = found.applied(estimated(20.0), "pi4")
    assert (applied.low, applied.value, applied.high) == pytest.approx((18.0, 22.0, 28.0))
    assert applied.evidence is Evidence.ESTIMATED
    assert "20 ms from counted instructions, times 1.10" in applied.method
    assert scale_of([]) is None


def model(cpu: str, threads: int) -> LatencyModel:
    samples = tuple(
        ProbeSample(probe=one.probe.label, workload=one.workload, seconds=0.012)
        for one in probes(3)
    )
    fit = Fit(
        runtime="onnxruntime", library="onnxruntime 1", precision="float32", threads=threads,
        measured="2026-11-30", samples=samples, seconds_per=dict.fromkeys(FEATURES, 0.0),
        errors={"net": 0.1},
    )  # fmt: skip
    return LatencyModel(
        edgekit="1", device="pi4", address="pi", cpu=cpu, cores=4, kernel="6", environment={},
        warnings=(), fits=(fit,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cpu", "threads", "scaled"),
    [("cortex-a72", 1, True), ("cortex-a72", 4, False), ("an x86 processor", 1, False)],
)
def test_a_calibration_keeps_it_where_the_core_is_modelled(
    store: Store, counting: list[Any], cpu: str, threads: int, scaled: bool
) -> None:
    found = _with_scales(model(cpu, threads), probes(3), store, lambda *_: None)
    (fit,) = found.fits
    assert (fit.cycle_scale is not None) == scaled
    if fit.cycle_scale:
        assert fit.cycle_scale == CycleScale(value=1.2, low=1.2, high=1.2, probes=3)
    assert LatencyModel.model_validate_json(found.model_dump_json()) == found


def test_without_qemu_the_calibration_stays_and_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise DeviceError("no qemu-aarch64-static here")

    monkeypatch.setattr(cycle_scale, "estimate_file", missing)
    found = _with_scales(model("cortex-a72", 1), probes(3), store, lambda *_: None)
    assert found.fits[0].cycle_scale is None
    assert "no qemu-aarch64-static here" in found.warnings[0]
