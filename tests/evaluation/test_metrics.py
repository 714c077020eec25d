"""A figure says when it can tell nothing."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.evaluation.choose import choice_of
from edgekit.evaluation.gates import Gates, judge
from edgekit.evaluation.metrics import MAX_TIMES, Latency, gate_figures, latency_of
from edgekit.evaluation.timing import Timing
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, Verdict
from tests.build_folder.samples import row

RNG = np.random.default_rng(0)


def timing(milliseconds: float, interrupted: float = 0.0) -> Timing:
    """300 rounds of 3 runs, of which a share was interrupted for 10 ms each."""
    rounds = milliseconds * RNG.normal(1, 0.02, (300, 3)) / 1e3
    rounds += (RNG.random(rounds.shape) < interrupted) / 100
    return Timing(load=0.01, first=0.002, rounds=rounds)


def test_on_a_quiet_machine_the_faster_is_better() -> None:
    latency = latency_of(timing(1.0), timing(2.0), Evidence.HOST)
    assert isinstance(latency.ratio, Measurement)
    assert latency.ratio.value == pytest.approx(0.5, abs=0.02)
    assert (latency.verdict, latency.disturbed) == (Verdict.BETTER, False)


@pytest.mark.parametrize("interrupted", [(0.2, 0.0), (0.0, 0.2), (0.3, 0.6)])
def test_on_a_busy_machine_nothing_is_told(interrupted: tuple[float, float]) -> None:
    ours, others = (timing(ms, share) for ms, share in zip((1.0, 2.0), interrupted, strict=True))
    latency = latency_of(ours, others, Evidence.HOST)
    assert latency.disturbed
    assert latency.verdict is Verdict.CANNOT_TELL
    assert isinstance(latency.ratio, InvalidMeasurement)


def test_no_script_takes_what_a_busy_machine_showed_for_a_figure() -> None:
    latency = latency_of(timing(1.0, 0.2), timing(2.0), Evidence.MEASURED)
    for found in (latency.ratio, latency.median):
        assert found
        written = found.model_dump(mode="json")
        assert (written["valid"], written["reason"]) == (False, "machine too busy")
        assert not {"value", "low", "high"} & set(written)
    assert Latency.model_validate_json(latency.model_dump_json()) == latency


def test_a_report_keeps_the_single_times_and_not_those_of_a_busy_machine() -> None:
    latency = latency_of(timing(1.0), timing(2.0), Evidence.HOST)
    assert np.percentile(latency.times_ms, 90) == pytest.approx(latency.p90_ms, rel=1e-3)
    assert Latency.model_validate_json(latency.model_dump_json()) == latency
    many = Timing(load=0.01, first=0.002, rounds=np.full((5000, 3), 1e-3))
    assert len(latency_of(many, None, Evidence.HOST).times_ms) <= MAX_TIMES
    assert latency_of(timing(1.0, 0.2), None, Evidence.HOST).times_ms == ()


def test_gates_are_held_against_no_figure_of_a_busy_machine() -> None:
    validation = row("litert", "export").validation
    assert gate_figures(validation)["max_latency_ratio"] == validation.latency.ratio
    latency = latency_of(timing(1.0, 0.2), timing(2.0), Evidence.MEASURED)
    figures = gate_figures(validation.model_copy(update={"latency": latency}))
    held = judge(Gates(max_latency_ratio=1.0, max_latency_ms=10.0), figures, last=True)
    assert [(one.passed, one.figure, one.why) for one in held] == [
        (False, None, "machine too busy")
    ] * 2


def test_a_choice_on_a_busy_machine_is_in_doubt() -> None:
    quiet = choice_of({"one": timing(1.0), "other": timing(2.0)}, Evidence.HOST)
    assert (quiet.certain, quiet.doubt) == (True, "")
    alike = choice_of({"one": timing(1.0), "other": timing(1.0)}, Evidence.HOST)
    assert alike.doubt == "the intervals cannot tell it from the next"
    busy = choice_of({"one": timing(1.0), "other": timing(2.0, 0.2)}, Evidence.HOST)
    assert (
        busy.doubt == "the runs tell no order: machine too busy; --force choose measures them again"
    )
    assert all(isinstance(ratio, InvalidMeasurement) for ratio in busy.ratios.values())


def test_a_few_slow_runs_are_no_disturbance() -> None:
    assert not timing(1.0, interrupted=0.05).disturbed


def test_a_float_model_has_no_verdict_busy_or_not() -> None:
    assert latency_of(timing(1.0, 0.3), None, Evidence.HOST).verdict is None
