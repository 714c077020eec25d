"""Devices of one kind share the measuring; one that vanishes or throttles is set aside."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.api import bench_fleet
from edgekit.devices.bench import validity
from edgekit.devices.bench.fleet import share
from edgekit.devices.bench.report import DeviceReport
from edgekit.errors import DeviceError, Fault
from edgekit.evidence import InvalidityCause, Reason
from tests.commands import edgekit
from tests.comparison.samples import device_report
from tests.devices.tiny import QUICK, tiny_bundle
from tests.sshd import Sshd, two_devices


class Boards:
    """Devices that measure at once, and fail as they are told."""

    def __init__(self, report: DeviceReport, **faults: Any) -> None:
        self.report, self.faults = report, faults
        self.at: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.measured: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    def measure(self, subject: str, device: str) -> DeviceReport:
        with self.lock:
            self.at[device] += 1
            self.most[device] = max(self.most[device], self.at[device])
        time.sleep(0.02)
        with self.lock:
            self.at[device] -= 1
            self.measured.append((subject, device))
            mine = sum(1 for _, name in self.measured if name == device)
        fault = self.faults.get(subject) or (mine > 1 and self.faults.get(device))
        if isinstance(fault, Fault):
            raise DeviceError(f"{fault} seen", fault=fault)
        if fault:
            reason = Reason.invalid(InvalidityCause.HOT, "it was throttled")
            return self.report.model_copy(update={"reasons": [reason]})
        return self.report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DeviceReport:
    bundle = tiny_bundle(tmp_path_factory.mktemp("fleet") / "bundle")
    return device_report(bundle).model_copy(update={"reasons": []})


def test_the_first_is_measured_on_all_and_the_others_on_one_each(report: DeviceReport) -> None:
    boards = Boards(report)
    found = share(["a", "b", "c", "d"], ["x", "y"], boards.measure, lambda line: None)
    assert {*found.yardstick} == {"x", "y"}
    assert {*found.others} == {1, 2, 3}
    assert max(boards.most.values()) == 1
    counts = Counter(subject for subject, _ in boards.measured)
    assert counts == {"a": 2, "b": 1, "c": 1, "d": 1}


@pytest.mark.parametrize("fault", [Fault.CONNECTION_LOST, "throttles"])
def test_what_a_device_was_at_goes_to_another(report: DeviceReport, fault: Any) -> None:
    boards, said = Boards(report, x=fault), list[str]()
    found = share(["a", "b", "c"], ["x", "y"], boards.measure, said.append)
    assert {*found.others} == {1, 2}
    assert {*found.set_aside} == {"x"}
    assert "x is set aside" in said[0]
    assert found.failed == {}


def test_a_file_that_crashes_sets_no_device_aside(report: DeviceReport) -> None:
    boards = Boards(report, b=Fault.CRASHED)
    found = share(["a", "b", "c"], ["x", "y"], boards.measure, lambda line: None)
    assert {*found.failed} == {1}
    assert found.set_aside == {}
    assert {*found.others} == {2}


def test_where_no_device_is_left_the_models_are_told(report: DeviceReport) -> None:
    boards = Boards(report, x=Fault.REBOOTED, y="throttles")
    found = share(["a", "b", "c", "d"], ["x", "y"], boards.measure, lambda line: None)
    assert {*found.set_aside} == {"x", "y"}
    assert found.failed[3] == "no device was left to measure it"


@pytest.fixture
def boards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Sshd]]:
    """Two real servers."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))
    # Both are this machine, which has other work too: that a run is disturbed is no matter here.
    for name in ("_busy_meanwhile", "_drift_reasons", "spread_reasons", "_interleaved"):
        monkeypatch.setattr(validity, name, lambda *words: iter(()))
    with two_devices(tmp_path) as found:
        yield found


def bundles(tmp_path: Path) -> list[Path]:
    for name in ("one", "two"):
        tiny_bundle(tmp_path / "bundles" / name, protocol=QUICK)
    return [tmp_path / "bundles" / name for name in ("one", "two")]


def test_real_devices_share_and_the_spread_is_told(tmp_path: Path, boards: dict[str, Sshd]) -> None:
    done = edgekit(
        "bench", *bundles(tmp_path), "--group", "pis", "--out", tmp_path / "fleet", cwd=tmp_path,
        store=tmp_path / "store",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "one on 2 devices: median" in done.stdout
    found = json.loads((tmp_path / "fleet/fleet.json").read_text())
    assert [run["artifact"] for run in found["runs"]] == ["one", "one", "two"]
    assert {*found["spread"]["medians"]} == {"pi-a", "pi-b"}
    assert "2 devices: median" in (tmp_path / "fleet/fleet.html").read_text()


def test_a_real_device_that_vanishes_is_set_aside(tmp_path: Path, boards: dict[str, Sshd]) -> None:
    boards["pi-a"].cut()
    report = bench_fleet(bundles(tmp_path), ["pi-a", "pi-b"], out=tmp_path / "fleet")
    assert {*report.set_aside} == {"pi-a"}
    assert [run.device for run in report.runs] == ["pi-b", "pi-b"]
    assert report.spread is None
    report.check()
    boards["pi-b"].cut()
    with pytest.raises(DeviceError, match="no device has measured it"):
        bench_fleet(bundles(tmp_path / "again"), ["pi-b"], out=tmp_path / "fleet").check()
