"""`edgekit calibrate` and `edgekit estimate`, as a person types them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest

from edgekit.cli import main
from edgekit.cycle_model.blocks import Counts
from edgekit.cycle_model.profiled import Profiled
from edgekit.devices.estimate.calibrate import calibration_path
from edgekit.devices.estimate.latency_model import LatencyModel, ProbeSample, fit
from edgekit.devices.estimate.workload import Workload, workload_of
from edgekit.engine.atomic import write_atomically
from edgekit.errors import DeviceError
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.microbenchmark import Layer
from tests.build_folder.samples import sample_manifest, sample_report

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
RUNTIME = find_runtimes()["onnxruntime"]()
INSTALLED = f"onnxruntime {version('onnxruntime')}"


@dataclass
class Said:
    code: int
    out: str
    err: str


Typed = Callable[..., Said]


@pytest.fixture
def edgekit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    inventory = tmp_path / "devices.yaml"
    home, python = tmp_path / "device", sys.executable
    inventory.write_text(f"pi5: {{transport: local, home: {home}, python: {python}}}\n")
    monkeypatch.setenv("EDGEKIT_DEVICES", str(inventory))
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("edgekit.cycle_model.tools.missing_tools", lambda: ["qemu-user"])

    def typed(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["edgekit", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Said(code, captured.out, captured.err)

    return typed


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """One int8 convolution of 3 x 3."""
    layer = Layer(kind="conv", kernel=3, height=16, width=16, cin=16, cout=32)
    RUNTIME.single_layer_model(layer, True, tmp_path)
    return tmp_path / RUNTIME.file


def calibrated(model: Path, threads: int = 4, library: str = INSTALLED) -> LatencyModel:
    """A device that takes a nanosecond for 10 multiply-accumulates and for a byte."""
    own = workload_of(RUNTIME, model)

    def sample(number: int) -> ProbeSample:
        work = Workload(
            **own.model_dump(include={"depthwise", "product", "by_precision", "operators"}),
            conv=own.conv * (1 + number % 3), dense=100_000 * (number % 4),
            weights=own.weights * (1 + number % 5), moved=own.moved * (1 + number),
        )  # fmt: skip
        seconds = 1e-10 * (work.conv + work.dense) + 1e-9 * (work.weights + work.moved)
        return ProbeSample(probe=f"p{number}", workload=work, seconds=seconds)

    found = fit(
        tuple(map(sample, range(12))), runtime="onnxruntime", library=library, precision="int8",
        threads=threads, measured="2026-01-02T03:04:05+00:00",
    )  # fmt: skip
    return LatencyModel(
        edgekit="0", device="pi5", address="this machine",
        cpu="cortex-a76", cores=4, kernel="6.6", environment={}, warnings=(), fits=(found,),
    )  # fmt: skip


def keep(calibration: LatencyModel) -> None:
    write_atomically(calibration_path("pi5"), calibration.model_dump_json())


def test_a_calibrated_device_gives_milliseconds(edgekit: Typed, model: Path) -> None:
    keep(calibrated(model))
    said = edgekit("estimate", str(model), "--device", "pi5")
    assert said.code == 0
    assert "ms, estimated from 12 probe models measured on pi5" in said.out
    assert "nine in ten within" in said.out
    found = json.loads(edgekit("estimate", str(model), "--device", "pi5", "--json").out)
    work = workload_of(RUNTIME, model)
    expected = 1e-10 * work.conv + 1e-9 * (work.weights + work.moved)
    assert found["latency"]["value"] == pytest.approx(1e3 * expected, rel=1e-3)
    assert found["latency"]["evidence"] == "estimated"
    assert found["latency"]["low"] <= found["latency"]["value"] <= found["latency"]["high"]
    assert found["bound"] is None


def test_the_version_on_the_device_counts(edgekit: Typed, model: Path, tmp_path: Path) -> None:
    keep(calibrated(model, library="onnxruntime 1.0.0"))
    said = edgekit("estimate", str(model), "--device", "pi5")
    assert f"was calibrated with onnxruntime 1.0.0, and has {INSTALLED} now" in said.out
    (tmp_path / "devices.yaml").write_text(
        f"pi5: {{transport: local, home: {tmp_path / 'device'}, python: /no/python}}\n"
    )
    said = edgekit("estimate", str(model), "--device", "pi5")
    assert "with onnxruntime 1.0.0" in said.out
    assert "could not be asked" in said.out


def test_another_device_of_the_same_name_is_not_taken_for_it(edgekit: Typed, model: Path) -> None:
    keep(calibrated(model).model_copy(update={"address": "pi@attic"}))
    said = edgekit("estimate", str(model), "--device", "pi5")
    assert "no estimate: pi5 was pi@attic when it was calibrated" in said.out


def test_without_a_calibration_there_are_no_milliseconds(edgekit: Typed, model: Path) -> None:
    said = edgekit("estimate", str(model), "--device", "pi5")
    assert said.code == 0
    assert "no estimate: pi5 is not calibrated" in said.out
    assert "multiply-accumulates" in said.out
    assert "no lower bound: the processor is not known" in said.out
    assert "edgekit calibrate --device pi5 --runtime onnxruntime --threads 4" in said.out


def test_what_the_probes_do_not_cover_is_a_bound(edgekit: Typed, model: Path) -> None:
    keep(calibrated(model, threads=1))
    said = edgekit("estimate", str(model), "--device", "pi5")
    assert "only for onnxruntime int8 at 1" in said.out
    assert "at least" in said.out
    assert "ms on pi5: roofline, a lower bound" in said.out
    assert "--threads 4" in said.out


def test_a_target_gives_a_lower_bound(edgekit: Typed, model: Path) -> None:
    found = json.loads(edgekit("estimate", str(model), "--target", "rpi5", "--json").out)
    work = workload_of(RUNTIME, model)
    assert found["latency"] is None
    assert "lacks qemu-user" in found["reason"]
    assert found["advice"] == "on Debian or Ubuntu: sudo apt-get install qemu-user"
    assert found["bound"]["macs"] == work.macs == 16 * 16 * 9 * 16 * 32
    assert found["bound"]["lower"]["value"] == pytest.approx(work.macs / (32 * 4 * 2.4e6))
    other = edgekit("estimate", str(model), "--target", "x86-cpu").out
    assert "no lower bound: nothing is known of the peak of" in other


def test_instructions_that_were_counted_give_milliseconds_and_a_ratio(
    edgekit: Typed, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts(Counter({(0x4E27CCC3, 0x54FFFFE1): 10**6}), 10, (9, 8, 7))
    where = "edgekit.cycle_model.file_estimate"
    half = replace(counts, blocks=Counter({block: n // 2 for block, n in counts.blocks.items()}))
    monkeypatch.setattr(f"{where}.count", lambda *_: counts)
    monkeypatch.setattr(f"{where}.count_operators", lambda *_: [Profiled("first", "Conv", half)])
    words = ("estimate", str(model), "--target", "rpi5", "--against", str(model))
    found = json.loads(edgekit(*words, "--json").out)
    assert found["latency"]["evidence"] == "estimated"
    assert found["latency"]["low"] <= found["latency"]["value"] <= found["latency"]["high"]
    assert found["ratio"]["value"] == 1
    assert found["threads"] == 1
    assert found["bound"]["lower"]["value"] < found["latency"]["value"]
    said = edgekit(*words).out
    assert "ms on a Raspberry Pi 5 with one thread, estimated" in said
    assert "2.0 million instructions of onnxruntime" in said
    assert "multiply-accumulate 50 %, branch 50 %" in said
    assert " 50.0  first (Conv)" in said
    assert " 50.0  the runtime around them" in said
    (own,) = found["counted"]["operators"]["operators"]
    assert own["share"] + found["counted"]["operators"]["rest"] == pytest.approx(1)


def test_operators_that_cannot_be_told_apart_are_no_failure(
    edgekit: Typed, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> NoReturn:
        raise DeviceError("its profiler works otherwise")

    counts = Counts(Counter({(0x8B020020,): 10**6}), 0, (0, 0, 0))
    monkeypatch.setattr("edgekit.cycle_model.file_estimate.count", lambda *_: counts)
    monkeypatch.setattr("edgekit.cycle_model.file_estimate.count_operators", failing)
    said = edgekit("estimate", str(model), "--target", "rpi5")
    assert said.code == 0
    assert "which operators take it is not known: its profiler works otherwise" in said.out


def test_without_a_program_no_ratio_is_made_up(edgekit: Typed, model: Path) -> None:
    said = edgekit("estimate", str(model), "--target", "rpi5", "--against", str(model))
    assert said.code == 5
    assert "lacks qemu-user" in said.err


def test_a_builds_folder_says_threads_and_processor(edgekit: Typed, model: Path) -> None:
    """Of a device that was never calibrated nothing is known: the bound is the target's."""
    folder = model.parent / "rpi4/onnxruntime"
    folder.mkdir(parents=True)
    model.rename(folder / RUNTIME.file)
    file = folder / RUNTIME.file
    (folder / "manifest.json").write_text(sample_manifest(file, RUNTIME.name).model_dump_json())
    report = sample_report().model_copy(update={"threads": 2, "cpu": "cortex-a72"})
    (folder.parent / "report.json").write_text(report.model_dump_json())
    said = edgekit("estimate", str(folder), "--device", "pi5").out
    assert "2 threads" in said
    assert "on the build's target, if that is what the device has" in said
    assert "2 cortex-a72 cores" in said
    found = json.loads(edgekit("estimate", str(folder), "--device", "pi5", "--json").out)
    assert found["threads"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one of --device and --target"),
        (("--device", "pi5", "--target", "rpi5"), "one of --device and --target"),
        (("--device", "nowhere"), "no device 'nowhere'"),
        (("--target", "nowhere"), "no target 'nowhere'"),
        (("--device", "pi5", "--against", "b.onnx"), "--against goes with --target"),
        (("--target", "intel-npu"), "is of onnxruntime, and target intel-npu runs openvino"),
    ],
)
def test_what_is_asked_wrongly_is_said(
    edgekit: Typed, model: Path, words: tuple[str, ...], message: str
) -> None:
    said = edgekit("estimate", str(model), *words)
    assert said.code == 2
    assert message in said.err


def test_what_is_no_model_is_said(edgekit: Typed, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no model")
    assert "nor a model file" in edgekit("estimate", str(text), "--target", "rpi5").err
    assert "no such file" in edgekit("estimate", "gone.onnx", "--target", "rpi5").err


def test_calibrate_names_what_it_does_not_know(edgekit: Typed) -> None:
    assert "no device 'nowhere'" in edgekit("calibrate", "--device", "nowhere").err
    said = edgekit("calibrate", "--device", "pi5", "--runtime", "litret")
    assert said.code == 2
    assert "litert" in said.err


def test_calibrate_tells_the_error(
    edgekit: Typed, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.devices.estimate import calibrate as room

    def found(device: object, runtimes: tuple[str, ...], threads: int, *_: object) -> LatencyModel:
        assert (runtimes, threads) == (("litert", "onnxruntime"), 4)
        return calibrated(model)

    monkeypatch.setattr(room, "calibrate", found)
    said = edgekit("calibrate", "--device", "pi5")
    assert said.code == 0
    assert "onnxruntime int8, 4 threads" in said.out
    assert "12 probes" in said.out
    assert "nine in ten within" in said.out
    assert json.loads(edgekit("calibrate", "--device", "pi5", "--json").out)["device"] == "pi5"
