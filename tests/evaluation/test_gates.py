"""What a gate lets pass."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.evaluation.gates import FIRST_TO_LAST, GateResult, Gates, GateVerdict, judge
from edgekit.evidence import Evidence, Measurement

LIMITS = [name for name in Gates.model_fields if name not in ("when_uncertain", "evidence")]


def figure(value: float, low: float | None = None, high: float | None = None) -> Measurement:
    return Measurement(
        value=value, unit="points", evidence=Evidence.HOST, method="test", low=low, high=high
    )


def judged(limit: dict[str, float], measured: Measurement | None) -> GateResult:
    (result,) = judge(Gates.model_validate(limit), dict.fromkeys(limit, measured), last=True)
    return result


def test_the_stricter_of_two_limits_holds_whichever_side_names_it() -> None:
    one = Gates(max_accuracy_drop=1.0, min_agreement=90, max_size_mb=5)
    other = Gates(max_accuracy_drop=2.0, min_agreement=95, max_latency_ratio=0.5)
    merged = Gates(max_accuracy_drop=1.0, min_agreement=95, max_size_mb=5, max_latency_ratio=0.5)
    assert one.stricter(other) == other.stricter(one) == merged
    assert one.stricter(Gates()) == one


def test_a_limit_of_zero_is_a_limit() -> None:
    assert Gates().stricter(Gates(max_accuracy_drop=0)).max_accuracy_drop == 0
    assert not judged({"max_accuracy_drop": 0}, figure(0.1)).passed


@pytest.mark.parametrize("gate", ["max_accuracy_drop", "min_agreement"])
def test_a_figure_on_the_limit_passes(gate: str) -> None:
    assert judged({gate: 1.0}, figure(1.0)).passed


@pytest.mark.parametrize(
    ("gate", "good", "bad"), [("max_accuracy_drop", 0.9, 1.1), ("min_agreement", 1.1, 0.9)]
)
def test_each_gate_has_its_direction(gate: str, good: float, bad: float) -> None:
    assert judged({gate: 1.0}, figure(good)).passed
    assert not judged({gate: 1.0}, figure(bad)).passed


def test_a_figure_that_is_not_there_never_passes() -> None:
    result = judged({"max_latency_ms": 10}, None)
    assert not result.passed
    assert "nothing was measured" in str(result)
    assert not judge(Gates(max_size_mb=1), {}, last=True)[0].passed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_what_is_no_number_is_no_figure_that_a_gate_could_pass(value: float) -> None:
    with pytest.raises(ValidationError):
        figure(value)


@pytest.mark.parametrize(
    ("measured", "passed", "certain"),
    [
        (figure(0.5, 0.1, 0.9), True, True),
        (figure(0.5, 0.1, 1.0), True, True),
        (figure(0.5, 0.1, 1.5), True, False),
        (figure(1.2, 0.9, 1.5), True, False),
        (figure(1.2, 1.1, 1.5), False, True),
        (figure(0.5), True, True),
    ],
)
def test_a_verdict_is_certain_when_the_whole_interval_is_on_its_side(
    measured: Measurement, passed: bool, certain: bool
) -> None:
    result = judged({"max_accuracy_drop": 1.0}, measured)
    assert (result.passed, result.certain) == (passed, certain)


def test_certainty_of_a_minimum_looks_at_the_low_end() -> None:
    assert not judged({"min_agreement": 90}, figure(95, 89, 97)).certain
    assert judged({"min_agreement": 90}, figure(95, 91, 97)).certain


def test_accuracy_gates_bind_every_stage_and_the_others_the_last() -> None:
    every = dict.fromkeys(LIMITS, 1.0)
    figures: dict[str, Measurement | None] = dict.fromkeys(every, figure(1.0))
    assert [r.gate for r in judge(Gates.model_validate(every), figures, last=False)] == list(
        FIRST_TO_LAST
    )
    assert [r.gate for r in judge(Gates.model_validate(every), figures, last=True)] == list(every)


def test_no_limits_no_verdicts() -> None:
    assert judge(Gates(), {"max_size_mb": figure(1e9)}, last=True) == []


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("gate", LIMITS)
def test_a_limit_is_a_number(gate: str, value: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Gates.model_validate({gate: value})


@pytest.mark.parametrize(
    "limit",
    [
        {"max_accuracy_drop": -1},
        {"max_accuracy_drop": float("nan")},
        {"min_agreement": 101},
        {"max_size_mb": 0},
        {"max_sizemb": 1},
    ],
)
def test_limits_that_mean_nothing_are_refused(limit: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Gates.model_validate(limit)


def test_a_result_reads_as_a_sentence() -> None:
    text = str(judged({"max_accuracy_drop": 1.0}, figure(1.5, 0.5, 2.5)))
    assert text == (
        "max_accuracy_drop cannot tell, so it passes: 1.5 points (0.50 to 2.50), limit 1 points: "
        "the interval reaches both sides of the limit"
    )


@pytest.mark.parametrize("when", ["pass", "fail"])
def test_few_images_speak_in_images_and_the_recipe_says_what_then(when: Any) -> None:
    gates = Gates(max_accuracy_drop=1.0, when_uncertain=when)
    drop = figure(100 * 2 / 24, -5.0, 21.0).model_copy(update={"samples": 24})
    (result,) = judge(gates, {"max_accuracy_drop": drop}, last=True)
    assert result.verdict is GateVerdict.CANNOT_TELL
    assert result.passed is (when == "pass")
    so = "passes" if when == "pass" else "fails"
    assert str(result) == (
        f"max_accuracy_drop cannot tell, so it {so}: 8.33 points (-5.00 to 21.00), limit 1 points: "
        "2 fewer of 24 images are right, and one image is 4.2 points"
    )


def test_one_side_that_fails_where_it_cannot_tell_is_enough() -> None:
    fails = Gates(max_size_mb=1, when_uncertain="fail")
    assert Gates().stricter(fails) == fails.stricter(Gates()) == fails


@pytest.mark.parametrize(("high", "passed"), [(0.7, True), (0.9, False)])
def test_the_whole_interval_of_an_estimate_must_hold(high: float, passed: bool) -> None:
    gates = Gates(max_latency_ratio=0.8, evidence="estimated")
    ratio = Measurement(
        value=0.5, unit="ratio", evidence=Evidence.ESTIMATED, method="", low=0.4, high=high
    )
    (result,) = judge(gates, {"max_latency_ratio": ratio}, last=True)
    assert result.passed is passed
    assert Gates().stricter(gates) == gates.stricter(Gates()) == gates


def test_a_result_of_an_older_report_has_its_verdict() -> None:
    old = {"gate": "max_size_mb", "limit": 1, "figure": None, "passed": False, "certain": True}
    assert GateResult.model_validate(old).verdict is GateVerdict.BROKEN


def test_what_was_not_seen_on_the_host_says_where_it_comes_from() -> None:
    ratio = Measurement(
        value=0.8, unit="ratio", evidence=Evidence.ESTIMATED, method="model", low=0.6, high=0.9
    )
    (held,) = judge(Gates(max_latency_ratio=1.0), {"max_latency_ratio": ratio}, last=True)
    assert str(held) == (
        "max_latency_ratio held: estimated 0.8 (within the model's error 0.60 to 0.90), limit 1"
    )
    timed = ratio.model_copy(update={"evidence": Evidence.MEASURED})
    (held,) = judge(Gates(max_latency_ratio=1.0), {"max_latency_ratio": timed}, last=True)
    assert "measured 0.8 (0.60 to 0.90)" in str(held)


def test_a_figure_has_the_digits_that_tell_it_from_its_limit() -> None:
    ratio = Measurement(value=0.30341, unit="ratio", evidence=Evidence.MEASURED, method="bytes")
    assert str(judged({"max_size_ratio": 0.303}, ratio)) == (
        "max_size_ratio broken: measured 0.3034, limit 0.303"
    )
    same = ratio.model_copy(update={"value": 0.303})
    assert str(judged({"max_size_ratio": 0.303}, same)) == (
        "max_size_ratio held: measured 0.303, limit 0.303"
    )
