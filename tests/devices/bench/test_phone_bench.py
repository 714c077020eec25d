import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.devices.bench.absent_fields import absent_paths
from edgekit.devices.bench.benchmark_model import Benchmark
from edgekit.devices.bench.phone_bench import bench_phone
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.device import Device
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.evidence import Evidence, InvalidityCause, Validity
from tests.devices.bench.phone_bundles import COUNT, make, phone_bundle


@pytest.fixture
def bundle(model: Path, tmp_path: Path) -> Bundle:
    return phone_bundle(tmp_path / "bundle", model)


def bench(bundle: Bundle, device: Device, **asked: Any) -> DeviceReport:
    return bench_phone(bundle, device, Benchmark(**asked), lambda *_: None)


def test_the_report_of_a_phone(device: Device, tool: Path, bundle: Bundle) -> None:
    report = bench(bundle, device, binary=tool)
    assert report.evidence is Evidence.MEASURED
    assert report.correctness.golden is not None
    assert report.correctness.golden.max_abs_diff == 0
    assert report.correctness.agreement is not None
    assert (report.correctness.agreement.value, report.correctness.agreement.samples) == (100, 6)
    assert report.correctness.top1 is not None
    assert report.latency_us is not None
    assert len(report.latency_us.medians) == 2
    assert report.latency_us.min <= report.latency_us.p50 <= report.latency_us.max
    assert report.latency_us.first is not None
    assert "random" in report.not_available["protocol.input_sha256"]
    assert report.runtime.delegate is not None
    assert report.runtime.delegate.asked == "XNNPACK"
    assert report.runtime.library == f"classic benchmark_model, sha256 {sha256_of(tool)}"
    assert report.device.board == "Pixel 9"
    # Its thermal status is moderate: the latency is that of a phone that slows itself down.
    assert report.validity is Validity.INVALID
    assert {r.cause for r in report.reasons} >= {
        InvalidityCause.THROTTLED, InvalidityCause.PARTLY_DELEGATED, InvalidityCause.UNWATCHED
    }  # fmt: skip
    assert set(report.not_available) == set(absent_paths(report))
    assert all(report.not_available.values())
    assert DeviceReport.model_validate_json(report.model_dump_json()) == report


def test_its_report_can_be_read(device: Device, tool: Path, bundle: Bundle, tmp_path: Path) -> None:
    from edgekit.report.device import write_device_report

    report = bench(bundle, device, binary=tool)
    page = write_device_report(report, tmp_path)
    assert "thermal status" in page.read_text()
    assert "benchmark_model tells statistics only" in (tmp_path / "device-report.md").read_text()


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        (('float(flags["min_secs"])', "0.0"), InvalidityCause.TOO_FEW_RUNS),
        # Every tenth run takes a second longer: its mean lies far from its median.
        (
            ("samples.append(", "samples.append(10**6 * (len(samples) % 10 == 9) + "),
            InvalidityCause.BUSY,
        ),
    ],
)
def test_a_short_or_disturbed_run_is_no_result(
    device: Device,
    tool: Path,
    bundle: Bundle,
    tmp_path: Path,
    edit: tuple[str, str],
    cause: InvalidityCause,
) -> None:
    other = tmp_path / "benchmark_model"
    other.write_text(tool.read_text().replace(*edit))
    protocol = bundle.info.protocol.model_copy(update={"seconds": 1.0, "processes": 1})
    bundle.info = bundle.info.model_copy(update={"protocol": protocol})
    found = {r.cause: r.validity for r in bench(bundle, device, binary=other).reasons}
    assert found[cause] is Validity.INVALID


def test_a_build_without_a_median_is_named(
    device: Device, tool: Path, bundle: Bundle, tmp_path: Path
) -> None:
    old = tmp_path / "benchmark_model"
    line = 'f"p5={low} median={middle} p95={high}"'
    assert line in tool.read_text()
    old.write_text(tool.read_text().replace(line, '""'))
    with pytest.raises(DeviceError, match="tells no median"):
        bench(bundle, device, binary=old)


def test_nothing_is_timed_in_the_emulator_of_android_studio(
    device: Device, tool: Path, bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "programs" / "getprop").write_text("#!/bin/sh\necho '[ro.kernel.qemu]: [1]'\n")
    report = bench(bundle, device, binary=tool)
    assert report.evidence is Evidence.EMULATED
    assert report.latency_us is None
    assert report.validity is Validity.OK
    assert report.correctness.agreement is not None
    assert set(report.not_available) == set(absent_paths(report))


def test_an_engine_that_executes_nothing_is_no_report(
    device: Device, tool: Path, bundle: Bundle
) -> None:
    with pytest.raises(DeviceError) as caught:
        bench(bundle, device, binary=tool, engine="GPU")
    assert caught.value.fault is Fault.FALL_BACK


def test_another_runtime_s_model_is_refused(
    device: Device, tool: Path, model: Path, tmp_path: Path
) -> None:
    images, scores = np.zeros((COUNT, 16, 16, 3), np.uint8), np.zeros((COUNT, 5), np.float32)
    bundle = make(tmp_path / "bundle", model, images, scores, runtime="onnxruntime")
    with pytest.raises(InputError, match="benchmark_model runs TFLite files"):
        bench(bundle, device, binary=tool)


def test_the_command(
    device: Device, tool: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = device.transport.model_dump(exclude_defaults=True)
    inventory = tmp_path / "devices.yaml"
    inventory.write_text(json.dumps({"phone": {"transport": "adb", **transport}}))
    monkeypatch.setenv("EDGEKIT_DEVICES", str(inventory))
    line = ["bench", str(bundle.folder), "--device", "phone", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(cli, [*line, "--benchmark-binary", str(tool), "--json"])
    assert isinstance(done.exception, DeviceError)
    assert "thermal status" in done.exception.message
    report = DeviceReport.model_validate_json((tmp_path / "out/device-report.json").read_text())
    assert report.device.name == "phone"
    assert json.loads(done.stdout) == json.loads(report.model_dump_json())


def test_an_engine_needs_its_binary(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["bench", str(tmp_path), "--device", "x", "--engine", "GPU"])
    assert isinstance(done.exception, InputError)
    assert "--benchmark-binary" in (done.exception.hint or "")
