"""A search whose files are timed on two real servers, which share the work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.api import search
from edgekit.devices.bench import timing_device, validity
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.evaluation import measure
from edgekit.evaluation.timing import Timing
from edgekit.evidence import Evidence, Measurement
from edgekit.model_search.points import PointRecord
from tests.model_search.conftest import RECIPE
from tests.sshd import Sshd, two_devices

pytestmark = pytest.mark.slow
HOST = "description: this machine\nruntimes: [onnxruntime]\ncpu: host\nthreads: 1\n"


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Sshd]]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EDGEKIT_LEASE", str(tmp_path / "lease"))
    for name, value in (("seconds", 0.2), ("warmup_seconds", 0.05)):
        monkeypatch.setitem(measure.PROTOCOL, name, value)
    # Both are this machine, which has other work too: that a run is disturbed is no matter here.
    monkeypatch.setattr(Timing, "disturbed", False)
    monkeypatch.setattr(timing_device, "watched_reasons", lambda result: iter(()))
    for name in ("DISTURBED", "MAX_MEAN", "MAX_SPREAD", "MAX_DRIFT"):
        monkeypatch.setattr(validity, name, 1e9)
    (tmp_path / "host.yaml").write_text(HOST)
    with two_devices(tmp_path) as found:
        yield found


class Cutting(Silent):
    """Cuts a device off when the second candidate begins."""

    def __init__(self, device: Sshd) -> None:
        self.device = device
        self.told: list[str] = []

    def remark(self, line: str) -> None:
        if line.startswith("candidate 2"):
            self.device.cut()

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        self.told.append(note)


def measured(point: PointRecord) -> bool:
    found = point.latency
    return isinstance(found, Measurement) and found.evidence is Evidence.MEASURED


def test_a_search_goes_on_with_the_device_that_is_left(
    world: Path, tmp_path: Path, devices: dict[str, Sshd]
) -> None:
    (world / "shared.yaml").write_text(f"{RECIPE}search: {{front: 1, images: 16, epochs: 1}}\n")
    seen = Cutting(devices["pi-a"])
    report = search(
        world / "shared.yaml",
        tmp_path / "host.yaml",
        limits=["latency<=999ms"],
        over={"data.image_size": [32, 48]},
        device=["pi-a", "pi-b"],
        out=tmp_path / "out",
        store=world / "store",
        observer=seen,
    )
    assert [measured(one) for one in report.candidates] == [True, True]
    assert report.chosen
    assert report.chosen.confirmed
    assert measured(report.chosen.confirmed)
    assert any(note.startswith("pi-a is set aside") for note in seen.told)
