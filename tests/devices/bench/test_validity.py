"""Each thing that makes a run no result has its name; a sound run has none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgekit.devices.agent_result import AgentResult, Delegate, Golden
from edgekit.devices.bench.report import Correctness
from edgekit.devices.bench.validity import golden_complaint, result_reasons, timing_reasons, verdict
from edgekit.evaluation.metrics import accuracy_of, share_of
from edgekit.evaluation.run_result import Interleaved
from edgekit.evidence import Evidence, InvalidityCause, Reason, Validity
from tests.devices.bench.runs import PROTOCOL, process, run, state


def causes(raw: AgentResult) -> dict[InvalidityCause, Validity]:
    return {reason.cause: reason.validity for reason in timing_reasons(raw, PROTOCOL)}


def test_a_sound_run_has_no_reason() -> None:
    assert causes(run()) == {}


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
    flipped = golden.model_copy(update={"same_top1": 7})
    assert golden_complaint(flipped, precision), "another class, whatever the difference"


def test_one_process_that_drifts() -> None:
    drifting = process(np.linspace(0.01, 0.0115, 150).tolist())
    assert causes(run([process(), drifting]))[InvalidityCause.DRIFT] is Validity.INVALID


def test_the_run_beside_float_is_judged_too() -> None:
    noise = [[0.01] * 3] * 80 + [[0.05] * 3] * 70
    entry = Interleaved(load=0.1, first=0.1, rounds=noise)
    seen = [state(), state(phase="interleaved: latency")]
    raw = run(watched=seen).model_copy(update={"latency": {"model": entry}})
    assert causes(raw) == {InvalidityCause.BUSY: Validity.INVALID}


def test_the_verdict_is_the_worst() -> None:
    warn = Reason(cause=InvalidityCause.BUSY, validity=Validity.WARN, words="")
    bad = Reason(cause=InvalidityCause.DRIFT, validity=Validity.INVALID, words="")
    assert verdict([]) is Validity.OK
    assert verdict([warn]) is Validity.WARN
    assert verdict([bad, warn]) is Validity.INVALID


def test_a_cause_of_an_older_report_is_read() -> None:
    kept = {"cause": "busy machine", "validity": "warn", "words": "a load of 3"}
    assert Reason.model_validate_json(json.dumps(kept)).cause is InvalidityCause.BUSY
