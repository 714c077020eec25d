"""A calibration on this machine as the device, with probes of a few milliseconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data.size import Size
from edgekit.devices.agent_result import AgentResult
from edgekit.devices.bundle.protocol import Protocol
from edgekit.devices.device import Device
from edgekit.devices.estimate import calibrate as room
from edgekit.devices.estimate import probes as probe_room
from edgekit.devices.estimate.calibrate import calibrate, calibration_path, read_calibration
from edgekit.devices.estimate.latency_model import FEATURES, LatencyModel
from edgekit.devices.estimate.probes import PROBES, Probe
from edgekit.engine.store import Store, default_store
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.evidence import Evidence, InvalidityCause, Reason, Validity
from edgekit.models import timm_models
from edgekit.transports.fake import Fake
from edgekit.transports.local import Local

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

CREATE = timm_models.create
TINY = tuple(
    Probe(arch="tiny", image_size=size, classes=classes)
    for size, classes in (
        (16, 2),
        (16, 500),
        (24, 2),
        (24, 90),
        (32, 2),
        (32, 500),
        (40, 2),
        (40, 900),
    )
)


def tiny(arch: str, classes: int, image_size: Size) -> Any:
    """A network of one convolution of each kind; timm's take seconds to compile."""
    from torch import nn

    assert arch == "tiny"
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(), nn.Conv2d(8, 16, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes)),
    ).eval()


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Local:
    return Local(home=str(tmp_path_factory.mktemp("device")), python=sys.executable)


@pytest.fixture(scope="module", autouse=True)
def quick(patched: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Few runs, which a busy machine may disturb: whether they are valid is tested apart."""
    patched.setenv("EDGEKIT_STORE", str(tmp_path_factory.mktemp("store")))
    short = Protocol(warmup_runs=1, warmup_seconds=0, runs=3, seconds=0.01, processes=1)
    patched.setattr(room, "PROTOCOL", short)
    patched.setattr(timm_models, "create", tiny)
    patched.setattr(room, "timing_reasons", lambda raw, protocol: iter(()))


def run(here: Local, probes: tuple[Probe, ...] = TINY) -> LatencyModel:
    with Device("here", here) as device:
        where = Store(default_store())
        return calibrate(device, ("onnxruntime",), 1, where, lambda *_: None, probes)


@pytest.fixture(scope="module")
def found(quick: None, here: Local) -> LatencyModel:
    return run(here)


def test_every_probe_is_measured_in_both_precisions(found: LatencyModel) -> None:
    assert [one.key for one in found.fits] == [
        ("onnxruntime", "int8", 1),
        ("onnxruntime", "float32", 1),
    ]
    for one in found.fits:
        assert [sample.probe for sample in one.samples] == [probe.label for probe in TINY]
        assert set(one.errors) == {probe.label for probe in TINY}
        assert set(one.seconds_per) == {*FEATURES}
        assert all(sample.workload.precision == one.precision for sample in one.samples)
        assert all(sample.seconds > 0 for sample in one.samples)
        assert one.library.startswith("onnxruntime ")
    assert found.evidence is Evidence.MEASURED
    assert found.device == "here"
    assert found.cpu == found.environment["cpu"]


def test_it_is_kept(found: LatencyModel) -> None:
    assert read_calibration("here") == found
    assert read_calibration("elsewhere") is None
    assert calibration_path("here").parent == default_store() / "calibrations"


def disturbed(monkeypatch: pytest.MonkeyPatch, times: int) -> list[AgentResult]:
    """Call the first so many runs no result; the list holds every run that was judged."""
    judged: list[AgentResult] = []

    def reasons(raw: AgentResult, protocol: Protocol) -> Iterator[Reason]:
        judged.append(raw)
        if len(judged) <= times:
            words = "the clock fell from 2400 to 1500 MHz"
            yield Reason(
                cause=InvalidityCause.FREQUENCY_FELL, validity=Validity.INVALID, words=words
            )

    monkeypatch.setattr(room, "timing_reasons", reasons)
    return judged


def test_a_second_one_compiles_nothing_and_tries_a_disturbed_probe_again(
    found: LatencyModel, here: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiles(*_: object) -> None:
        raise AssertionError("a probe was made again")

    monkeypatch.setattr(probe_room.MakeProbe, "run", compiles)
    judged = disturbed(monkeypatch, times=room.MAX_TRIES - 1)
    again = run(here)
    assert [one.key for one in again.fits] == [one.key for one in found.fits]
    taken = judged[room.MAX_TRIES - 1].protocol[1][0].samples
    assert again.fits[0].samples[0].seconds == pytest.approx(np.median(taken))


def test_nothing_stays_on_the_device(found: LatencyModel, here: Local) -> None:
    assert list(Path(here.home, "work").iterdir()) == []


def test_a_probe_that_stays_disturbed_refuses_the_calibration(
    found: LatencyModel, here: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = disturbed(monkeypatch, times=99)
    before = calibration_path("here").read_bytes()
    with pytest.raises(DeviceError, match="the clock fell") as raised:
        run(here)
    assert raised.value.fault is Fault.NO_RESULT
    assert TINY[0].label in raised.value.message
    assert len(judged) == room.MAX_TRIES
    assert calibration_path("here").read_bytes() == before, "the earlier one stays"


def test_a_device_that_is_not_measured_is_refused(tmp_path: Path) -> None:
    with Device("fake", Fake(root=str(tmp_path))) as device, pytest.raises(InputError) as raised:
        calibrate(device, ("onnxruntime",), 1, Store(tmp_path), lambda *_: None)
    assert "cannot be calibrated" in raised.value.message
    assert not calibration_path("fake").exists()


def test_an_emulator_behind_a_connection_is_refused(
    found: LatencyModel, here: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_EMULATED", "qemu-aarch64")
    with pytest.raises(InputError, match="emulated"):
        run(here)


def test_too_few_probes_are_refused(here: Local) -> None:
    with pytest.raises(InputError, match="3 probes"):
        run(here, TINY[:3])


def test_a_file_that_is_no_calibration_is_named(found: LatencyModel) -> None:
    path = calibration_path("broken")
    path.write_text("{}")
    with pytest.raises(InputError, match=r"broken\.json") as raised:
        read_calibration("broken")
    assert "edgekit calibrate --device broken" in str(raised.value.hint)


def test_no_branch_of_a_probe_is_dead() -> None:
    """A converter would leave it out, and the workload would tell of arithmetic that is not run."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm_models, "create", CREATE)
        model = timm_models.create("resnet10t", 2)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not all(norm.weight.any() for norm in norms), "timm begins with zeros"
    probe_room.wake(model)
    assert all(norm.weight.any() for norm in norms)


def test_the_probes_are_spread() -> None:
    assert 14 <= len(PROBES) <= 20
    assert {probe.image_size for probe in PROBES} >= {Size.square(96), Size.square(224)}
    assert len({probe.label for probe in PROBES}) == len(PROBES)
