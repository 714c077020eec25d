"""A whole run on a device, at once and by way of a stick: one report, the same checks."""

from __future__ import annotations

import base64
import io
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.devices.bench.absent_fields import absent_paths
from edgekit.devices.bench.bench import bench, import_result
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bench.validate_on_device import record_of
from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.bundle.pack import pack_bundle
from edgekit.devices.bundle.protocol import Protocol
from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault, InputError, IntegrityError
from edgekit.evidence import Evidence, InvalidityCause, InvalidMeasurement, Validity
from edgekit.transports.fake import Fake
from edgekit.transports.local import Local
from tests.devices.tiny import QUICK, tiny_bundle


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))


def quiet(done: int, total: int, note: str) -> None:
    pass


def here(tmp_path: Path, **words: Any) -> Local:
    return Local(home=str(tmp_path / "home"), python=sys.executable, **words)


def run(bundle: Bundle, way: Any, name: str = "pi5") -> DeviceReport:
    with Device(name, way) as device:
        return bench(bundle, device, quiet)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DeviceReport:
    """Of one whole run, with a sustained part."""
    root = tmp_path_factory.mktemp("bench")
    protocol = QUICK.model_copy(update={"sustained_seconds": 1.0, "threads": (1, 2)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_STORE", str(root / "store"))
        return run(tiny_bundle(root / "bundle", protocol=protocol), here(root))


def test_accuracy_and_agreement_are_the_devices(report: DeviceReport) -> None:
    found = report.correctness
    assert found.agreement
    assert found.top1
    assert found.golden
    assert (found.agreement.value, found.agreement.samples) == (100.0, 128)
    assert found.top1.value == 100.0
    assert found.top1.evidence is Evidence.MEASURED
    assert found.golden.max_abs_diff < 1e-6


def test_latency_is_raw_and_summed_up(report: DeviceReport) -> None:
    times = report.latency_us
    assert times
    assert len(times.samples) == len(times.medians) == 2
    assert min(map(len, times.samples)) >= 20
    assert times.p90 is not None
    assert times.min <= times.p50 <= times.p90 <= times.p95 <= times.max
    assert set(report.threads_us or {}) >= {1}
    assert report.sustained
    assert report.sustained.seconds >= 1.0
    assert report.memory
    assert report.memory.peak


FACTS = [
    "identity.run",
    "identity.started",
    "identity.ended",
    "identity.edgekit",
    "identity.agent",
    "identity.evidence",
    "schema_version",
    "artifact.sha256",
    "artifact.bytes",
    "artifact.format",
    "artifact.precision",
    "artifact.operators",
    "artifact.macs",
    "artifact.parameters",
    "artifact.lineage",
    "device.board",
    "device.soc",
    "device.cores",
    "device.isa",
    "device.ram_bytes",
    "device.os",
    "device.kernel",
    "runtime.name",
    "runtime.library",
    "runtime.threads",
    "runtime.affinity",
    "runtime.delegate.asked",
    "runtime.delegate.applied",
    "runtime.delegate.nodes_delegated",
    "runtime.delegate.nodes_total",
    "protocol.timed_region",
    "protocol.clock",
    "protocol.batch",
    "protocol.input_source",
    "protocol.input_sha256",
    "protocol.warmup_runs",
    "protocol.runs",
    "protocol.seconds",
    "protocol.processes",
    "latency_us.load",
    "latency_us.first",
    "latency_us.min",
    "latency_us.mean",
    "latency_us.p50",
    "latency_us.p90",
    "latency_us.p95",
    "latency_us.p99",
    "latency_us.max",
    "latency_us.std",
    "latency_us.samples",
    "memory.baseline",
    "memory.loaded",
    "memory.peak",
    "memory.method",
    "before.temperature_c",
    "before.clocks_mhz",
    "before.governors",
    "before.throttled",
    "before.load_average",
    "before.battery_percent",
    "after.temperature_c",
    "after.clocks_mhz",
    "after.governors",
    "after.throttled",
    "after.load_average",
    "after.battery_percent",
    "correctness.golden.max_abs_diff",
    "correctness.agreement",
    "correctness.top1",
    "validity",
    "reasons",
    "energy",
]


@pytest.mark.parametrize("path", FACTS)
def test_every_field_is_there_or_its_absence_explained(report: DeviceReport, path: str) -> None:
    value: Any = json.loads(report.model_dump_json())
    reached = ""
    for part in path.split("."):
        reached = f"{reached}.{part}" if reached else part
        assert part in value, f"{reached} is no field"
        value = value[part]
        if value is None or (value == [] and part in ("clocks_mhz", "governors", "isa")):
            assert report.not_available[reached]
            return


def test_whatever_is_missing_has_a_reason(report: DeviceReport) -> None:
    assert set(absent_paths(report)) == set(report.not_available)
    assert all(report.not_available.values())


def test_a_result_that_differs_from_the_hosts(tmp_path: Path) -> None:
    report = run(tiny_bundle(tmp_path / "bundle", off_by=0.3), here(tmp_path))
    assert report.validity is Validity.INVALID
    assert {r.cause for r in report.reasons} >= {
        InvalidityCause.DIFFERS_FROM_HOST,
        InvalidityCause.WRONG_RESULT,
    }


def test_bits_that_are_set_while_it_runs(tmp_path: Path) -> None:
    """vcgencmd as a Raspberry Pi with a weak supply answers it."""
    tool = tmp_path / "bin" / "vcgencmd"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\ncase $1 in get_throttled) echo throttled=0x50005;;\n"
        'measure_temp) echo "temp=84.2\'C";;\n'
        "pmic_read_adc) echo ' 3V3_SYS_A current(1)=2.0A'; echo ' 3V3_SYS_V volt(9)=3.3V';;\nesac\n"
    )
    tool.chmod(0o755)
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nPATH={tool.parent}:$PATH exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    way = Local(home=str(tmp_path / "home"), python=str(wrapper))
    protocol = QUICK.model_copy(update={"seconds": 1.2})
    report = run(tiny_bundle(tmp_path / "bundle", protocol=protocol), way)
    assert report.validity is Validity.INVALID
    assert InvalidityCause.THROTTLED in {r.cause for r in report.reasons}
    assert report.before
    assert report.before.temperature_c == 84.2
    assert report.energy
    assert report.energy.busy_watts == pytest.approx(6.6)
    assert report.energy.above_idle_joules == pytest.approx(0.0), "as much as before the run"
    assert report.energy.board_watts == pytest.approx(1.145 * 6.6 + 0.59)
    assert "without USB" in report.energy.method


def test_a_user_who_may_not_read_the_throttle_bits(tmp_path: Path) -> None:
    """As vcgencmd answers one who is not in the group video."""
    tool = tmp_path / "bin" / "vcgencmd"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho VCHI initialization failed >&2\nexit 255\n")
    tool.chmod(0o755)
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nPATH={tool.parent}:$PATH exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    way = Local(home=str(tmp_path / "home"), python=str(wrapper))
    report = run(tiny_bundle(tmp_path / "bundle"), way)
    (doubt,) = (r for r in report.reasons if r.cause is InvalidityCause.UNWATCHED)
    assert doubt.validity is Validity.WARN
    assert "sudo usermod -aG video" in doubt.words or "neither temperature" in doubt.words
    assert report.before
    assert report.before.throttled_unread == "VCHI initialization failed"
    record = record_of(report).latency
    assert record
    assert isinstance(record.median, InvalidMeasurement), "no evidence for a gate in milliseconds"


def test_a_device_that_restarts(tmp_path: Path) -> None:
    way = Fake(root=str(tmp_path / "pi"), python=sys.executable, reboot_before="agent.py job.json")
    with pytest.raises(DeviceError) as raised:
        run(tiny_bundle(tmp_path / "bundle"), way)
    assert raised.value.fault is Fault.REBOOTED


def test_nothing_is_left_on_the_device(tmp_path: Path) -> None:
    run(tiny_bundle(tmp_path / "bundle"), here(tmp_path))
    assert not any((tmp_path / "home" / "work").iterdir())


@pytest.fixture
def carried(tmp_path: Path) -> Callable[..., Path]:
    """The result that run.sh leaves on a stick."""

    def carry(bundle: Bundle, name: str = "stick") -> Path:
        pack_bundle(bundle, tmp_path / name)
        words = ["sh", str(tmp_path / name / "run.sh"), sys.executable]
        subprocess.run(words, check=True, capture_output=True)
        return tmp_path / name / "result.json"

    return carry


def test_by_way_of_a_stick(carried: Callable[..., Path], tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    result = carried(bundle)
    report = import_result(result, None, "the shed's")
    assert report.device.name == "the shed's"
    assert report.correctness.agreement
    assert report.correctness.agreement.value == 100.0
    home = result.rename(tmp_path / "result.json")
    with pytest.raises(InputError, match="is not beside it"):
        import_result(home, None, "x")
    pack_bundle(bundle, tmp_path / "means.tar")
    assert import_result(home, tmp_path / "means.tar", "x").latency_us


def test_a_result_of_another_bundle(carried: Callable[..., Path], tmp_path: Path) -> None:
    result = carried(tiny_bundle(tmp_path / "bundle"))
    pack_bundle(tiny_bundle(tmp_path / "other", seed=1), tmp_path / "other-stick")
    with pytest.raises(IntegrityError, match="was made by another bundle"):
        import_result(result, tmp_path / "other-stick", "x")


def test_a_device_without_a_name_is_called_as_its_board(
    carried: Callable[..., Path], tmp_path: Path
) -> None:
    result = carried(tiny_bundle(tmp_path / "bundle"))
    written = json.loads(result.read_text())
    written["board"]["board"] = "Raspberry Pi 5 Model B Rev 1.0\0"
    result.write_text(json.dumps(written))
    assert import_result(result, None, None).device.name == "raspberry-pi-5-model-b-rev-1.0"


@pytest.mark.parametrize("text", ["", "{}", "[1]", "not json", '{"id": 3}'])
def test_what_is_no_result(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=r"is no result of run\.sh"):
        import_result(tmp_path / "result.json", None, "x")


def test_a_result_of_another_architecture(carried: Callable[..., Path], tmp_path: Path) -> None:
    result = carried(tiny_bundle(tmp_path / "bundle", machine=platform.machine()))
    told = json.loads(result.read_text())
    told["environment"]["machine"] = "riscv64"  # somebody started the agent by hand
    result.write_text(json.dumps(told))
    with pytest.raises(DeviceError) as raised:
        import_result(result, None, "x")
    assert raised.value.fault is Fault.WRONG_ARCHITECTURE


@pytest.mark.parametrize("where", ["golden", "slice"])
def test_scores_that_are_no_numbers_are_no_result(
    carried: Callable[..., Path], where: str, tmp_path: Path
) -> None:
    """The class of the largest score would be that of the first NaN."""
    result = carried(tiny_bundle(tmp_path / "bundle"))
    told = json.loads(result.read_text())
    if where == "golden":
        told["golden"]["max_abs_diff"] = float("nan")
    else:
        scores = np.load(io.BytesIO(base64.b64decode(told["scores"]["model"])))
        scores[:3] = np.nan
        np.save(stream := io.BytesIO(), scores)
        told["scores"]["model"] = base64.b64encode(stream.getvalue()).decode()
    result.write_text(json.dumps(told))
    words = "golden.max_abs_diff" if where == "golden" else "scores of 3 of"
    with pytest.raises(DeviceError, match=words) as raised:
        import_result(result, None, "x")
    assert raised.value.fault is Fault.WRONG_RESULT


def test_the_threads_of_the_target_come_first() -> None:
    assert Protocol().at(4).threads == (4, 1, 2)
    assert Protocol().at(1).threads == (1, 2, 4)
