"""Each thing that makes a run no result has its name; a sound run has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.devices.agent_result import (
    AgentResult,
    Board,
    Delegate,
    DeviceState,
    Environment,
    Golden,
    Memory,
    Process,
)
from edgekit.devices.bench.report import Correctness
from edgekit.devices.bench.validity import golden_complaint, result_reasons, timing_reasons, verdict
from edgekit.devices.bundle.protocol import Protocol
from edgekit.evaluation.metrics import accuracy_of, share_of
from edgekit.evaluation.run_result import Interleaved
from edgekit.evidence import Evidence, InvalidityCause, Reason, Validity

SILENT = Board(
    emulator=None, board=None, soc=None, isa=[], ram_bytes=None, os=None, kernel="6.6",
    page_size=4096, max_clocks_mhz=[],
)  # fmt: skip
"""A board that tells nothing."""
PROTOCOL = Protocol(runs=100, seconds=1.0, processes=2, threads=(4,))


def state(
    at: float = 0.0, phase: str = "4 threads, process 1: timed", **changed: Any
) -> DeviceState:
    told = {
        "temperature_c": 50.0,
        "clocks_mhz": [2400.0, 1500.0],
        "governors": ["ondemand"],
        "throttled": 0,
        "load_average": [0.1, 0.1, 0.1],
        "available_bytes": 10**9,
        "watts": None,
        "battery_percent": None,
    }
    return DeviceState(at=at, phase=phase, **{**told, **changed})


def process(samples: list[float] | None = None, **changed: Any) -> Process:
    noise = np.random.default_rng(0).normal(0.01, 0.0002, 150).tolist()
    facts = {
        "load": 0.1,
        "first": 0.02,
        "samples": noise if samples is None else samples,
        "began": 10.0,
        "ended": 12.0,
        "windows": [],
        "affinity": [0, 1, 2, 3],
        "memory": Memory(baseline=1, loaded=2, peak=3),
        "delegate": Delegate(asked="XNNPACK", applied="XNNPACK"),
    }
    return Process(**{**facts, **changed})


def run(
    processes: list[Process] | None = None,
    watched: list[DeviceState] | None = None,
    before: DeviceState | None = None,
    after: DeviceState | None = None,
) -> AgentResult:
    return AgentResult(
        id="1",
        agent="a",
        started="t",
        ended="t",
        environment=Environment(machine="aarch64", cpu="cortex-a76", cores=4),
        board=SILENT,
        before=before or state(),
        after=after or state(),
        watched=watched if watched is not None else [state(1.0), state(2.0)],
        protocol={4: processes or [process(), process()]},
    )


def causes(raw: AgentResult) -> dict[InvalidityCause, Validity]:
    return {reason.cause: reason.validity for reason in timing_reasons(raw, PROTOCOL)}


def test_a_sound_run_has_no_reason() -> None:
    assert causes(run()) == {}


@pytest.mark.parametrize("bits", [0x1, 0x2, 0x4, 0x8])
def test_a_throttle_bit_during_the_run(bits: int) -> None:
    raw = run(watched=[state(), state(throttled=bits)])
    assert causes(raw) == {InvalidityCause.THROTTLED: Validity.INVALID}


def test_a_bit_that_came_to_be_set_between_two_looks() -> None:
    raw = run(before=state(throttled=0), after=state(throttled=0x40000))
    assert causes(raw) == {InvalidityCause.THROTTLED: Validity.INVALID}


def test_a_bit_that_was_set_long_before_is_no_reason() -> None:
    old = state(throttled=0x50005 & 0xF0000)
    assert causes(run(before=old, after=old, watched=[old])) == {}


def test_a_clock_that_falls() -> None:
    raw = run(watched=[state(clocks_mhz=[2400.0]), state(clocks_mhz=[1500.0])])
    assert causes(raw) == {InvalidityCause.FREQUENCY_FELL: Validity.INVALID}


def test_one_thread_may_turbo_higher_than_four() -> None:
    one = state(phase="1 threads, process 1: timed", clocks_mhz=[3000.0])
    assert causes(run(watched=[state(), one, state(phase="interleaved: latency")])) == {}
    slower = state(phase="interleaved: latency", clocks_mhz=[1500.0])
    found = causes(run(watched=[one, state(phase="interleaved: latency"), slower]))
    assert found == {InvalidityCause.FREQUENCY_FELL: Validity.INVALID}


def test_while_an_npu_works_the_cpu_may_idle() -> None:
    raw = run(watched=[state(clocks_mhz=[2400.0]), state(clocks_mhz=[600.0])])
    found = raw.model_copy(
        update={"environment": raw.environment.model_copy(update={"devices": {"NPU": {}}})}
    )
    assert causes(found) == {}


def test_bits_of_before_that_were_not_told_are_not_taken_for_the_run_s() -> None:
    raw = run(before=state(throttled=None), watched=[state(throttled=0x50000)])
    assert InvalidityCause.THROTTLED not in causes(raw)
    raw = run(before=state(throttled=None), watched=[state(throttled=0x50004)])
    assert causes(raw)[InvalidityCause.THROTTLED] is Validity.INVALID


def test_an_idle_clock_is_no_reason() -> None:
    raw = run(watched=[state(phase="idle", clocks_mhz=[600.0]), state(clocks_mhz=[2400.0])])
    assert causes(raw) == {}


def test_a_delegate_that_was_not_applied() -> None:
    fallen = process(delegate=Delegate(asked="XNNPACK", applied="none"))
    assert causes(run([fallen, fallen])) == {InvalidityCause.FALL_BACK: Validity.INVALID}


def test_a_delegate_that_runs_half_of_it() -> None:
    half = Delegate(asked="XNNPACK", applied="XNNPACK", nodes_delegated=30, nodes_total=60)
    found = causes(run([process(delegate=half), process(delegate=half)]))
    assert found == {InvalidityCause.PARTLY_DELEGATED: Validity.WARN}


@pytest.mark.parametrize(("grown", "validity"), [(1.2, Validity.INVALID), (0.8, Validity.WARN)])
def test_drift(grown: float, validity: Validity) -> None:
    """Ever slower hides a limit; ever faster only a warm-up that was too short."""
    drifting = process(np.linspace(0.01, 0.01 * grown, 150).tolist())
    assert causes(run([drifting, drifting]))[InvalidityCause.DRIFT] is validity


def test_a_process_that_grows_faster_does_not_hide_one_that_grows_slower() -> None:
    faster, slower = (np.linspace(0.01, 0.01 * grown, 150).tolist() for grown in (0.85, 1.12))
    assert (
        causes(run([process(faster), process(slower)]))[InvalidityCause.DRIFT] is Validity.INVALID
    )


def test_too_few_runs() -> None:
    assert causes(run([process([0.01] * 40), process()])) == {
        InvalidityCause.TOO_FEW_RUNS: Validity.INVALID
    }
    short = process(ended=10.2)
    assert InvalidityCause.TOO_FEW_RUNS in causes(run([short, process()]))


def test_other_jobs_at_work() -> None:
    noise = [0.01] * 80 + [0.05] * 70
    np.random.default_rng(0).shuffle(noise)
    assert (
        causes(run([process(noise), process(noise)])).get(InvalidityCause.BUSY) is Validity.INVALID
    )
    assert causes(run(before=state(load_average=[3.0] * 3))) == {
        InvalidityCause.BUSY: Validity.WARN
    }


def test_a_few_runs_that_wait_long() -> None:
    """The 90th percentile does not see them; the mean does."""
    noise = [0.01] * 140 + [0.06] * 10
    np.random.default_rng(0).shuffle(noise)
    assert causes(run([process(noise), process(noise)])) == {InvalidityCause.BUSY: Validity.INVALID}


def test_more_threads_than_cores() -> None:
    environment = run().environment.model_copy(update={"cores": 2})
    raw = run().model_copy(update={"environment": environment})
    (reason,) = timing_reasons(raw, PROTOCOL)
    assert "4 threads on 2 cores wait for each other: --threads 2" in reason.words


def test_processes_that_differ() -> None:
    found = causes(run([process([0.010] * 150), process([0.012] * 150)]))
    assert found == {InvalidityCause.SPREAD: Validity.INVALID}


def test_a_device_that_tells_nothing() -> None:
    mute = state(temperature_c=None, clocks_mhz=[], throttled=None)
    found = causes(run(before=mute, after=mute, watched=[mute]))
    assert found == {InvalidityCause.UNWATCHED: Validity.WARN}


def compared(wrong: int, images: int = 256) -> Correctness:
    """Scores of which the class of so many images is not the host's, and is wrong."""
    labels = np.zeros(images, np.int64)
    host = np.tile(np.array([1, 0], np.float32), (images, 1))
    scores = host.copy()
    scores[:wrong] = [0, 1]
    found = accuracy_of(scores, host, labels, ("a", "b"), False, Evidence.MEASURED)
    share = share_of(images, images, Evidence.HOST)
    return Correctness(
        golden=None,
        agreement=found["agreement"],
        top1=found["top1"],
        host_top1=share,
        change=found["change"],
    )


def test_results_that_differ_from_the_hosts() -> None:
    assert list(result_reasons(compared(0), "int8")) == []
    assert list(result_reasons(compared(2), "int8")) == []
    (reason,) = result_reasons(compared(20), "int8")
    assert (reason.cause, reason.validity) == (InvalidityCause.DIFFERS_FROM_HOST, Validity.INVALID)
    assert "92.2 % of 256 images are given the host's class" in reason.words


def test_a_tie_among_a_few_images_decides_nothing() -> None:
    assert list(result_reasons(compared(1, images=16), "int8")) == []


@pytest.mark.parametrize(
    ("off_by", "precision", "right"),
    [
        (0.05, "int8", True),
        (0.2, "int8", False),
        (0.005, "float32", True),
        (0.05, "float32", False),
    ],
)
def test_golden_scores(off_by: float, precision: str, right: bool) -> None:
    golden = Golden(max_abs_diff=off_by, spread=1.0, same_top1=8, images=8)
    assert (golden_complaint(golden, precision) is None) == right


def test_one_process_that_drifts() -> None:
    drifting = process(np.linspace(0.01, 0.0115, 150).tolist())
    assert causes(run([process(), drifting]))[InvalidityCause.DRIFT] is Validity.INVALID


def test_a_clock_that_is_low_throughout() -> None:
    """It may be what its owner wants; the figure is that clock's, and says so."""
    slow = [state(clocks_mhz=[600.0], governors=["powersave"])] * 2
    raw = run(watched=slow).model_copy(
        update={"board": SILENT.model_copy(update={"max_clocks_mhz": [2400.0]})}
    )
    (reason,) = timing_reasons(raw, PROTOCOL)
    assert (reason.cause, reason.validity) == (InvalidityCause.SLOW_CLOCK, Validity.WARN)
    assert "600 of 2400 MHz" in reason.words
    assert "powersave" in reason.words


def test_bits_that_are_not_always_told() -> None:
    raw = run(watched=[state(), state(throttled=None)])
    assert causes(raw) == {InvalidityCause.UNWATCHED: Validity.WARN}
    failed = run().model_copy(update={"watch_failure": "ValueError()"})
    assert causes(failed) == {InvalidityCause.UNWATCHED: Validity.WARN}


def test_a_run_without_a_pause_may_heat_the_board() -> None:
    hot = state(phase="without a pause: sustained", throttled=0x4, clocks_mhz=[1500.0])
    assert causes(run(watched=[state(), hot])) == {}


def test_the_run_beside_float_is_judged_too() -> None:
    noise = [[0.01] * 3] * 80 + [[0.05] * 3] * 70
    entry = Interleaved(load=0.1, first=0.1, rounds=noise)
    raw = run().model_copy(update={"latency": {"model": entry}})
    assert causes(raw) == {InvalidityCause.BUSY: Validity.INVALID}


def test_the_verdict_is_the_worst() -> None:
    warn = Reason(cause=InvalidityCause.BUSY, validity=Validity.WARN, words="")
    bad = Reason(cause=InvalidityCause.DRIFT, validity=Validity.INVALID, words="")
    assert verdict([]) is Validity.OK
    assert verdict([warn]) is Validity.WARN
    assert verdict([bad, warn]) is Validity.INVALID
