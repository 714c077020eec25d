"""Scores over the real adb client, by a tool that honours the classic one's flags."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.devices.bench.benchmark_model import Benchmark
from edgekit.devices.bench.benchmark_scores import OutputHead, scores
from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault, InputError
from tests.devices.bench.test_benchmark_model import LITERT, QUICK, write


def test_scores_over_adb_are_those_of_the_host(device: Device, tool: Path, model: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    steps: list[int] = []
    inputs = images(5)
    benchmark = Benchmark(binary=tool, **QUICK)
    found = scores(device, benchmark, model, inputs, lambda done, total, words: steps.append(done))
    assert steps == [1, 2, 3, 4, 5]
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    head = OutputHead.read(model)
    for row, image in zip(found, inputs, strict=True):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        codes = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
        np.testing.assert_allclose(row, head.scale * (codes.astype(np.float32) - head.zero_point))
    assert len({row.tobytes() for row in found}) > 1
    assert os.listdir(f"{device.home}/work") == []


def test_a_build_that_writes_no_outputs_is_named(
    device: Device, tool: Path, model: Path, tmp_path: Path
) -> None:
    old = tmp_path / "benchmark_model"
    old.write_text(tool.read_text().replace('if "output_filepath" in flags:', "if False:"))
    with pytest.raises(DeviceError, match="wrote 0 bytes of scores") as caught:
        scores(device, Benchmark(binary=old, **QUICK), model, images(2), lambda *_: None)
    assert "old build" in str(caught.value.hint)


@pytest.mark.parametrize("inputs", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 16, 16, 3))])
def test_inputs_of_another_form_are_refused(
    device: Device, tool: Path, model: Path, inputs: Any
) -> None:
    with pytest.raises(InputError, match=r"takes uint8 inputs of \[1, 16, 16, 3\]"):
        scores(device, Benchmark(binary=tool), model, inputs, lambda *_: None)


def images(count: int) -> Any:
    return np.random.default_rng(3).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)


def test_an_engine_that_executes_nothing_gives_no_scores(
    device: Device, tool: Path, model: Path
) -> None:
    with pytest.raises(DeviceError) as caught:
        scores(device, Benchmark(binary=tool, engine="GPU"), model, images(2), lambda *_: None)
    assert caught.value.fault is Fault.FALL_BACK


def test_litert_s_tool_gives_none(device: Device, model: Path, tmp_path: Path) -> None:
    tool = write(tmp_path / "tool", LITERT)
    with pytest.raises(InputError, match="gives no outputs"):
        scores(device, Benchmark(binary=tool), model, images(1), lambda *_: None)
