"""The tool's command line and failures, and the whole way over the real adb client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.bench.android import (
    ask,
    board_of,
    environment_of,
    parse_heat,
    parse_properties,
    state_of,
)
from edgekit.devices.bench.benchmark_model import Benchmark, measure
from edgekit.devices.device import Device
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.transports.local import Local

QUICK: dict[str, Any] = {"warmup_seconds": 0.0, "runs": 20, "seconds": 0.0, "threads": 1}
CLASSIC = b"\x7fELF input_layer_shape"
LITERT = b"\x7fELF dispatch_library_path input_layer_shape"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_tools_are_told_apart_by_their_flags(tmp_path: Path) -> None:
    classic = Benchmark(binary=write(tmp_path / "a", CLASSIC), engine="GPU", threads=2)
    litert = Benchmark(binary=write(tmp_path / "b", LITERT), engine="NPU")
    assert (classic.tool, litert.tool) == ("classic", "litert")
    words = classic.command("/x/bin", "/x/a model", "f0", ("--output_filepath=o",))
    assert words.startswith("taskset f0 /x/bin '--graph=/x/a model' --num_threads=2 ")
    assert words.endswith(" --max_secs=150 --use_gpu=true --output_filepath=o")
    assert litert.command("b", "m", None, ()).endswith("--use_npu=true")


@pytest.mark.parametrize(
    ("content", "engine", "words"),
    [(b"nothing", "CPU", "no benchmark_model"), (CLASSIC, "NPU", "has no NPU")],
)
def test_what_cannot_be_asked_is_refused(
    content: bytes, engine: Any, words: str, tmp_path: Path
) -> None:
    benchmark = Benchmark(binary=write(tmp_path / "tool", content), engine=engine)
    with pytest.raises(InputError, match=words):
        _ = benchmark.tool


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo 'ERROR: Failed to apply GPU delegate.'; exit 1", Fault.FALL_BACK),
        ("echo 'ERROR: Disallowed CPU fallback detected.' >&2; exit 1", Fault.FALL_BACK),
        ("echo 'sh: tool: not executable: 64-bit ELF file'; exit 126", Fault.WRONG_ARCHITECTURE),
        ("echo 'ERROR: Failed to allocate tensors!'; exit 1", Fault.CRASHED),
        ("echo INFO: STARTING!", Fault.CRASHED),
    ],
)
def test_failures_are_named(script: str, fault: Fault, tmp_path: Path) -> None:
    tool = write(tmp_path / "tool", f"#!/bin/sh\n# input_layer_shape\n{script}\n".encode())
    model = write(tmp_path / "model.tflite", b"model")
    with (
        Device("board", Local(home=str(tmp_path / "home"))) as device,
        pytest.raises(DeviceError) as caught,
    ):
        measure(device, Benchmark(binary=tool, engine="GPU", pin=False), model)
    assert caught.value.fault is fault


def test_figures_over_adb(device: Device, tool: Path, model: Path) -> None:
    result = measure(device, Benchmark(binary=tool, **QUICK), model)
    assert result.binary_sha256 == sha256_of(tool)
    latency = result.output.latency
    assert latency.count == 20
    assert latency.min is not None
    assert latency.min <= latency.mean <= (latency.max or 0)
    assert result.output.warmup is not None
    assert result.output.warmup.count == 10
    assert result.delegate.applied == "XNNPACK"
    assert (result.delegate.nodes_delegated, result.delegate.nodes_total) == (4, 5)


def test_what_a_phone_tells_of_itself(device: Device) -> None:
    answers = ask(device)
    assert parse_properties(answers["properties"]).model == "Pixel 9"
    assert parse_heat(answers["heat"]).slows_down
    environment, board = environment_of(answers), board_of(answers)
    assert environment.machine == os.uname().machine
    assert board.kernel == os.uname().release
    state = state_of(answers)
    assert len(state.load_average) == 3
    assert state.battery_percent == 81


def test_a_gpu_that_executes_nothing_fails_the_run(device: Device, tool: Path, model: Path) -> None:
    benchmark = Benchmark(binary=tool, engine="GPU", **QUICK)
    with pytest.raises(DeviceError, match="GPU was asked to run the model") as caught:
        measure(device, benchmark, model)
    assert caught.value.fault is Fault.FALL_BACK
