"""The first screen: what to ship, and how sure that is."""

from __future__ import annotations

import pytest

from edgekit.build_folder.report import OnDeviceRecord, Report
from edgekit.build_folder.target_estimates import TargetEstimates
from edgekit.evaluation.chance import ChanceTest
from edgekit.evidence import Evidence, InvalidityCause, Reason, Status, Validity, Verdict
from edgekit.report.render import render_html
from edgekit.report.summary import Summary, summarise
from tests.build_folder.samples import disturbed_report, figure, row, sample_report
from tests.pipeline.test_shipped_estimates import variant


def summary_of(report: Report) -> Summary:
    summary = summarise(report)
    assert summary
    return summary


def short_answers(report: Report) -> dict[str, str]:
    return {answer.question: answer.short for answer in summary_of(report).answers}


def test_one_sentence_says_what_to_ship_and_what_is_not_known() -> None:
    assert summary_of(sample_report()).sentence == (
        "litert int8: 3.7 times smaller, 1.8 times faster on the build machine, 2 of 100 images "
        "worse, which may be chance; not measured on the target (a board)."
    )


def test_a_latency_that_is_not_valid_is_told_nowhere() -> None:
    found = summary_of(disturbed_report())
    assert "speed not known (machine too busy)" in found.sentence
    assert "0.06" not in str((found.sentence, found.badges, found.answers))
    assert ("latency invalid", "bad") in [badge[:2] for badge in found.badges]
    assert "quiet" in short_answers(disturbed_report())["What next?"]


def test_the_first_screen_answers_five_questions() -> None:
    screen = render_html(sample_report()).split("</header>")[0]
    for question in ("What do I ship?", "How good is it?", "How sure is that?"):
        assert question in screen
    for answer in ("litert/", "88.5 (87.5 to 89.5) % right (host)", "p = 0.60", "imagefolder"):
        assert answer in screen
    assert "edgekit bench . --device NAME" in screen


def test_what_is_estimated_for_the_target_is_told_as_such() -> None:
    report = sample_report()
    report.estimates = TargetEstimates(core="a76", board="Pi 5", variants={"litert": variant(0.5)})
    good = summary_of(report).answers[1]
    assert "estimated for the target: 5 ms (" in good.more
    assert "Estimated for a Pi 5" in render_html(report)
    for one in report.rows:
        one.on_device = on_device(Validity.OK) if one.last else None
    assert "estimated" not in summary_of(report).answers[1].more


def test_where_a_gate_is_broken_nothing_is_shipped() -> None:
    rows = [row("litert", "source", True), row("litert", "quantize", drop=5)]
    told = {"status": "broken", "broken": ["litert quantize: drop"], "choice": None, "rows": rows}
    broken = sample_report().model_copy(update=told)
    assert summary_of(broken).sentence == "Ship nothing: litert quantize: drop."
    assert short_answers(broken)["What do I ship?"] == "Nothing."
    assert summary_of(broken).answers[-1].command == "edgekit inspect litert"


def test_of_a_model_that_guesses_nothing_is_concluded() -> None:
    chance = ChanceTest(top1=figure(52), commonest=50, p_value=0.4)
    told = {"status": Status.UNTRAINED, "chance": chance}
    guessing = sample_report().model_copy(update=told)
    assert summary_of(guessing).sentence.startswith("Ship nothing: the float model is no better")
    assert short_answers(guessing)["How sure is that?"] == "Nothing can be concluded."


def on_device(validity: Validity) -> OnDeviceRecord:
    change = row("litert", "export").validation.change
    assert change
    ratio = figure(0.4, "ratio", 0.01).model_copy(update={"evidence": Evidence.MEASURED})
    reasons = [Reason.invalid(InvalidityCause.THROTTLED, "too hot")]
    return OnDeviceRecord(
        device="pi5", cpu="cortex-a76", library="litert 2", started="2026-01-01T00:00:00",
        evidence=Evidence.MEASURED, threads=4, top1=figure(88), agreement=figure(99),
        change=change, median=figure(7.77, "ms"), ratio=ratio, validity=validity,
        reasons=reasons if validity is Validity.INVALID else [],
    )  # fmt: skip


@pytest.mark.parametrize("validity", [Validity.OK, Validity.INVALID])
def test_a_device_that_told_the_latency_is_named_and_one_that_did_not_is_not_believed(
    validity: Validity,
) -> None:
    report = sample_report()
    for one in report.rows:
        one.on_device = on_device(validity) if one.last else None
    sentence, page = summary_of(report).sentence, render_html(report)
    if validity is Validity.OK:
        assert "2.5 times faster on pi5" in sentence
        assert "not measured" not in sentence
        assert "7.77" in page
    else:
        assert "1.8 times faster on the build machine" in sentence
        assert "7.77" not in page
        assert "— (throttled)" in page


@pytest.mark.parametrize(
    ("lost", "won", "verdict", "words"),
    [
        (9, 1, Verdict.WORSE, "8 of 100 images worse;"),
        (1, 9, Verdict.BETTER, "8 of 100 images better;"),
        (2, 2, Verdict.CANNOT_TELL, "right on as many of 100 images;"),
    ],
)
def test_accuracy_in_images(lost: int, won: int, verdict: Verdict, words: str) -> None:
    report = sample_report()
    for one in report.rows:
        if one.validation.change:
            update = {"lost": lost, "won": won, "verdict": verdict}
            change = one.validation.change.model_copy(update=update)
            one.validation = one.validation.model_copy(update={"change": change})
    assert words in summary_of(report).sentence
