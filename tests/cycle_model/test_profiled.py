"""Laps are given to the operators of the events that a profiler recorded."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from edgekit.cycle_model.blocks import Counts, Lap
from edgekit.cycle_model.profiled import operators_in
from edgekit.errors import DeviceError

ADD = (0x8B020020,)
CLOCK, GETPID = 113, 172


def laps(calls: list[int]) -> list[Lap]:
    """The block of the lap with number n runs 2 ** n times, so that a sum tells its parts."""
    return [Lap(call, Counts(Counter({ADD: 2**n}), 1, (n,))) for n, call in enumerate(calls)]


def given(runtime: str, events: list[list[object]], calls: list[int]) -> dict[str, list[int]]:
    """The laps of each operator."""
    found = operators_in(runtime, json.dumps(events).encode(), laps(calls))
    assert all(sum(own(one.counts)) == one.counts.misses[0] for one in found)
    return {one.name: own(one.counts) for one in found}


def own(counts: Counts) -> list[int]:
    return [n for n in range(64) if counts.blocks[ADD] >> n & 1]


LITERT: list[list[object]] = [
    ["buffer registration", 1, 100, 5],
    ["Invoke", 1, 110, 90],
    ["QUANTIZE", 2, 115, 5],
    ["Convolution (NHWC, QC8) IGEMM", 8, 0, 20],
    ["Add (ND)", 8, 0, 20],
    ["Invoke", 32, 0, 9],
    ["DEQUANTIZE", 2, 180, 5],
    ["Buffer sync", 1, 200, 5],
]


def test_xnnpack_asks_once_before_its_operators_and_after_each() -> None:
    # registration, Invoke, QUANTIZE (2), before XNNPACK, its two, DEQUANTIZE (2), end, sync
    calls = [CLOCK] * (2 + 1 + 2 + 1 + 2 + 2 + 1 + 2)
    found = given("litert", LITERT, calls)
    assert found == {
        "QUANTIZE": [4], "Convolution (NHWC, QC8) IGEMM": [6], "Add (ND)": [7], "DEQUANTIZE": [9],
    }  # fmt: skip
    kinds = [one.kind for one in operators_in("litert", json.dumps(LITERT).encode(), laps(calls))]
    assert kinds == ["QUANTIZE", "Convolution IGEMM", "Add", "DEQUANTIZE"]


def test_onnx_runtime_records_an_event_as_it_ends() -> None:
    node, session = "Node", "Session"
    events: list[list[object]] = [
        ["Conv_0_kernel_time", node, "Conv"], ["inner_kernel_time", node, "Add"],
        ["If_1_kernel_time", node, "If"], ["Execute", session, ""], ["model_run", session, ""],
    ]  # fmt: skip
    calls = [CLOCK, CLOCK]  # model_run, Execute
    calls += [CLOCK, CLOCK, GETPID]  # Conv_0
    calls += [CLOCK, CLOCK, CLOCK, GETPID, CLOCK, GETPID]  # If_1 around inner
    calls += [CLOCK, GETPID, CLOCK, GETPID, CLOCK]
    found = given("onnxruntime", events, calls)
    assert found == {"Conv_0": [3], "inner": [7], "If_1": [6, 8, 9]}


@pytest.mark.parametrize("calls", [[CLOCK] * 12, [CLOCK] * 14, [GETPID] * 13])
def test_laps_that_do_not_fit_are_refused(calls: list[int]) -> None:
    with pytest.raises(DeviceError, match="cannot be told apart"):
        operators_in("litert", json.dumps(LITERT).encode(), laps(calls))


@pytest.mark.parametrize("events", [b"", b"[[1]]", b'[["a", "Node", "Conv"]]', b"{}"])
def test_events_of_another_kind_are_refused(events: bytes) -> None:
    for runtime in ("litert", "onnxruntime"):
        with pytest.raises(DeviceError, match="cannot be told apart"):
            operators_in(runtime, events, laps([CLOCK] * 4))


def test_a_profile_without_operators_is_none() -> None:
    with pytest.raises(DeviceError, match="tells of no operator"):
        operators_in("onnxruntime", b"[]", laps([CLOCK]))
