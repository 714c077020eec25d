"""Which operator is slow on a device: each runtime tells it there, and home knows what it is."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.agent import agent
from edgekit.devices.agent_result import OperatorSeconds
from edgekit.devices.bench.absent_fields import absent_paths
from edgekit.devices.bench.bench import bench
from edgekit.devices.bench.operators import UNKNOWN, _by_name, with_operators
from edgekit.devices.device import Device
from edgekit.devices.trial import FOLDER
from edgekit.errors import IntegrityError
from edgekit.evidence import Evidence
from edgekit.report.device import render_device_html, render_device_markdown
from edgekit.runtimes import _tflite_operator_times, find_runtimes
from edgekit.transports.fake import Fake
from edgekit.transports.local import Local
from tests.devices.tiny import tiny_bundle


def quiet(done: int, total: int, note: str) -> None:
    pass


def test_a_report_has_the_operators_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))
    bundle = tiny_bundle(tmp_path / "bundle")
    with Device("pi5", Local(home=str(tmp_path / "home"), python=sys.executable)) as device:
        report = bench(bundle, device, quiet)
        found = with_operators(report, bundle, device, {}, quiet)
    table = found.operators
    assert table
    assert table.evidence is Evidence.MEASURED
    assert "ReduceMean" in [one.kind for one in table.operators]
    assert UNKNOWN not in [one.precision for one in table.operators]
    assert sum(one.share for one in table.operators) == pytest.approx(1, abs=0.01)
    assert set(absent_paths(found)) == set(found.not_available)
    assert "ReduceMean" in render_device_markdown(found)
    assert "ReduceMean" in render_device_html(found)


def test_operators_of_another_file_are_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))
    bundle = tiny_bundle(tmp_path / "bundle")
    subject = bundle.info.subject.model_copy(update={"sha256": "0" * 64})
    with Device("pi5", Local(home=str(tmp_path / "home"), python=sys.executable)) as device:
        report = bench(bundle, device, quiet)
        bundle.info = bundle.info.model_copy(update={"subject": subject})
        with pytest.raises(IntegrityError, match="pi5 ran another file than"):
            with_operators(report, bundle, device, {}, quiet)


def test_an_emulator_times_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "evidence", Evidence.EMULATED)
    bundle = tiny_bundle(tmp_path / "bundle")
    with Device("a76", Fake(root=str(tmp_path / "pi"), python=sys.executable)) as device:
        report = bench(bundle, device, quiet)
        found = with_operators(report, bundle, device, {}, quiet)
    assert found.operators is None
    assert "this is emulated" in found.not_available["operators"]


def test_a_device_that_is_slowed_down_gives_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))
    tool = tmp_path / "vcgencmd"
    tool.write_text("#!/bin/sh\n[ $1 = get_throttled ] && echo throttled=0x50005\n")
    tool.chmod(0o755)
    own = tmp_path / "python"
    own.write_text(f'#!/bin/sh\nexport PATH={tmp_path}:$PATH\nexec {sys.executable} "$@"\n')
    own.chmod(0o755)
    bundle = tiny_bundle(tmp_path / "bundle")
    with Device("pi5", Local(home=str(tmp_path / "home"), python=str(own))) as device:
        report = bench(bundle, device, quiet)
        found = with_operators(report, bundle, device, {}, quiet)
    assert found.operators is None
    assert "throttled during the run" in found.not_available["operators"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "litert"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_each_runtime_tells(
    runtime: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the tiny networks of a trial: a convolution, its mean, a product."""
    monkeypatch.chdir(tmp_path)
    file = f"{precision}.{'tflite' if runtime == 'litert' else 'onnx'}"
    shutil.copy(FOLDER / file, tmp_path)
    np.save("images.npy", np.zeros((1, 8, 8, 3), np.float32))
    plan = {"images": "images.npy", "files": [], "runs": 5}
    parts = {}
    if runtime == "litert":
        parts = _tflite_operator_times.parts_of(Path(file), tmp_path)
        plan["files"] = [path.name for path in parts.values()]
    model = {"path": file, "runtime": runtime, "form": {"dtype": "ready"}}
    told = OperatorSeconds.model_validate_json(
        json.dumps(agent.time_operators({"operators": plan, "models": [model]}))
    )
    assert len(told.inferences) == 5
    if parts:
        operators = find_runtimes()["litert"]().describe(Path(file)).operators
        each = _tflite_operator_times.without_calls(told.seconds, list(parts), len(operators))
        assert len(each) == len(operators)
        assert all(seconds >= 0 for seconds in each)
    else:
        assert any("conv" in kind.lower() for kind in told.kinds)
        assert all(seconds >= 0 for seconds in told.seconds), "OpenVINO's are whole microseconds"


def test_what_another_processor_fuses_in_its_own_way_is_told_all_the_same() -> None:
    told = OperatorSeconds(
        names=["conv_nchwc"], kinds=["Conv"], seconds=[0.001], inferences=[0.002]
    )
    ((operator, seconds),) = _by_name({}, told)
    assert (operator.name, operator.kind, operator.precision) == ("conv_nchwc", "Conv", UNKNOWN)
    assert seconds == 0.001
