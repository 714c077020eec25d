"""The first screen: what to ship, and how sure that is."""

from __future__ import annotations

import pytest

from edgekit.build_folder.report import OnDeviceRecord, Report
from edgekit.build_folder.target_estimates import TargetEstimates
from edgekit.evaluation.chance import ChanceTest
from edgekit.evaluation.gates import Gates, judge
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
    for answer in (
        "litert/",
        "88.5 (87.5 to 89.5) % right (host)",
        "p = 0.60",
        "validation images<",
    ):
        assert answer in screen
    assert "Measure it on a device." in screen
    assert "once before: edgekit device add NAME --ssh USER@HOST" in screen
    assert "edgekit bench . --device NAME" in screen


def test_of_few_images_more_are_asked_for_first() -> None:
    report = sample_report()
    for one in report.rows:
        top1 = one.validation.top1.model_copy(update={"samples": 15})
        one.validation = one.validation.model_copy(update={"top1": top1})
    said = "Judge by more images: one of 15 is 6.7 points. Then measure it on a device."
    assert short_answers(report)["What next?"] == said


def test_a_gate_that_stands_alone_is_named() -> None:
    report = sample_report()
    (gate,) = judge(Gates(max_size_mb=4.0), {"max_size_mb": figure(3, "MB")}, last=True)
    for one in report.rows:
        one.gates = [gate] if one.last else []
    assert summary_of(report).badges[-1].words == "gate max_size_mb held"


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
    assert summary_of(broken).answers[-1].command == ""  # only the float model passed


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


def test_a_disturbed_host_is_no_doubt_of_what_a_device_told() -> None:
    report = disturbed_report()
    for one in report.rows:
        one.on_device = on_device(Validity.OK) if one.last else None
    found = summary_of(report)
    assert "2.5 times faster on pi5" in found.sentence
    assert "disturbed" not in str(found.answers)
    assert short_answers(report)["What next?"] == "Put it in use."


def test_a_device_that_found_it_faster_is_not_contradicted_by_the_host() -> None:
    report = timed(sample_report(), 1.2, 0.01, Verdict.WORSE)
    assert "slower than float: 1.20" in report.slower
    for one in report.rows:
        one.on_device = on_device(Validity.OK) if one.last else None
    assert report.slower == ""


@pytest.mark.parametrize(
    ("ratio", "width", "verdict", "words"),
    [
        (1.03, 0.01, Verdict.WORSE, "3 % slower on"),
        (0.97, 0.01, Verdict.BETTER, "3 % faster on"),
        (1.0004, 0.0001, Verdict.WORSE, "less than 0.1 % slower on"),
        (1.03, 0.1, Verdict.CANNOT_TELL, "speed cannot be told from float's"),
    ],
)
def test_the_sentence_says_what_the_badge_says(
    ratio: float, width: float, verdict: Verdict, words: str
) -> None:
    found = summary_of(timed(sample_report(), ratio, width, verdict))
    assert words in found.sentence
    assert f"speed: {verdict}" in [badge.words for badge in found.badges]


def timed(report: Report, ratio: float, width: float, verdict: Verdict) -> Report:
    """The same report with another latency of every compressed file."""
    for one in report.rows:
        if not one.baseline:
            update = {"ratio": figure(ratio, "ratio", width), "verdict": verdict}
            latency = one.validation.latency.model_copy(update=update)
            one.validation = one.validation.model_copy(update={"latency": latency})
    return report


def test_a_larger_file_is_called_larger_everywhere() -> None:
    report = sample_report()
    for one in report.rows:
        if not one.baseline:
            update = {"size_ratio": figure(1.2, "ratio", 0)}
            one.validation = one.validation.model_copy(update=update)
    page = render_html(report)
    assert "1.2 times larger" in summary_of(report).sentence
    assert page.count("1.2 times larger") > 4
    assert "times smaller" not in page


def test_after_a_broken_gate_what_this_build_left_is_inspected() -> None:
    """The variant's own folder may hold an older build's."""
    rows = [
        row("litert", "source", True),
        row("litert", "quantize"),
        row("litert", "export", drop=5),
    ]
    told = {"status": "broken", "broken": ["litert export: drop"], "choice": None, "rows": rows}
    broken = sample_report().model_copy(update=told)
    assert summary_of(broken).answers[-1].command == "edgekit inspect last-passed/litert"


def test_a_gate_held_against_an_estimate_says_so_on_the_page() -> None:
    report = sample_report()
    ratio = figure(0.8, "ratio", 0.1).model_copy(update={"evidence": Evidence.ESTIMATED})
    (gate,) = judge(Gates(max_latency_ratio=1.0), {"max_latency_ratio": ratio}, last=True)
    for one in report.rows:
        one.gates = [gate] if one.last else []
    gates = render_html(report).split('id="gates"')[1].split("</table>")[0]
    assert '<span class="evidence estimated">estimated</span>' in gates
    assert "within the model" in gates
