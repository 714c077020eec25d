"""The first screen of a report: what to ship, in one sentence, and five answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgekit.build_folder.report import OnDeviceRecord, Report, RowRecord
from edgekit.evaluation.gates import GateVerdict
from edgekit.evaluation.metrics import AccuracyChange, verdict_on_ratio
from edgekit.evidence import (
    Evidence,
    InvalidMeasurement,
    Measurement,
    Status,
    Validity,
    Verdict,
    believed,
)
from edgekit.report.figures import interval

SAME = 0.05
"""A size or a latency this near to float's is called the same."""
SHIP_NOTHING = "Ship nothing"
Kind = Literal["good", "bad", "unknown", "plain"]
KINDS: dict[str, Kind] = {
    GateVerdict.HELD: "good",
    GateVerdict.BROKEN: "bad",
    GateVerdict.CANNOT_TELL: "unknown",
    Verdict.BETTER: "good",
    Verdict.WORSE: "bad",
}


class Badge(NamedTuple):
    words: str
    kind: Kind
    term: str
    """What of the glossary explains it."""


class Reply(NamedTuple):
    question: str
    short: str
    more: str = ""
    command: str = ""
    """To be run in the folder of the page."""


@dataclass(frozen=True)
class LatencyToTell:
    """The latency that counts: of a device of the user's where one told it, else the build's."""

    ratio: Measurement | InvalidMeasurement | None
    verdict: Verdict | None
    where: str
    evidence: Evidence


@dataclass(frozen=True)
class Summary:
    row: RowRecord
    """What it is about: what ships, or else what came last."""
    sentence: str
    badges: tuple[Badge, ...]
    answers: tuple[Reply, ...]


def summarise(report: Report) -> Summary | None:
    """None of a report without rows."""
    if not report.rows:
        return None
    row = headline_row(report)
    return Summary(row, _sentence(report, row), _badges(report, row), _answers(report, row))


def headline_row(report: Report) -> RowRecord:
    """The file to take; where there is none, the last one that was measured."""
    last = (row for row in report.rows if row.last and row.variant == report.chosen)
    return next(last, report.rows[-1])


def float_row(report: Report, row: RowRecord) -> RowRecord | None:
    """What a row is held against."""
    own = (r for r in report.rows if r.baseline and r.variant == row.variant)
    return next(own, None)


def latency_to_tell(report: Report, row: RowRecord) -> LatencyToTell:
    device, latency = row.on_device, row.validation.latency
    if device and device.ratio and _is_result(device):
        verdict = verdict_on_ratio(device.ratio)
        return LatencyToTell(device.ratio, verdict, f"on {device.device}", device.evidence)
    measured = report.evidence is Evidence.MEASURED
    where = f"on this machine's {report.device}" if measured else "on the build machine"
    evidence = latency.ratio.evidence if latency.ratio else report.evidence
    return LatencyToTell(latency.ratio, latency.verdict, where, evidence)


def _is_result(device: OnDeviceRecord) -> bool:
    return device.ratio is not None and device.validity is not Validity.INVALID


def untimed(report: Report, row: RowRecord) -> str:
    """The target whose latency nobody has measured; empty where somebody has."""
    if latency_to_tell(report, row).evidence is Evidence.MEASURED:
        return ""
    return report.target_description.split(",")[0] or report.target


def _sentence(report: Report, row: RowRecord) -> str:
    if report.status is Status.UNTRAINED:
        return f"{SHIP_NOTHING}: the float model is no better than guessing."
    if report.broken:
        return f"{SHIP_NOTHING}: {report.broken[0]}{_and_more(report.broken)}."
    if report.chosen is None:
        return f"{SHIP_NOTHING}: no file passed."
    told = [_size(row), _speed(latency_to_tell(report, row)), _accuracy(row.validation.change)]
    missing = untimed(report, row)
    return (
        f"{row.variant} {row.precision}: {', '.join(filter(None, told))}"
        f"{f'; not measured on the target ({missing})' if missing else ''}."
    )


def _and_more(lines: list[str]) -> str:
    return f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""


def _size(row: RowRecord) -> str:
    ratio = row.validation.size_ratio
    return _times(ratio.value, "smaller", "larger", "as large as float") if ratio else ""


def _times(ratio: float, less: str, more: str, same: str) -> str:
    """
    >>> _times(0.25, "smaller", "larger", "as large as float")
    '4.0 times smaller'
    """
    if ratio <= 0 or abs(ratio - 1) < SAME:
        return same
    return f"{1 / ratio:.1f} times {less}" if ratio < 1 else f"{ratio:.1f} times {more}"


def _speed(latency: LatencyToTell) -> str:
    if isinstance(latency.ratio, InvalidMeasurement):
        return f"speed not known ({latency.ratio.reason})"
    if latency.ratio is None:
        return ""
    if latency.verdict is Verdict.CANNOT_TELL:
        return f"speed cannot be told from float's {latency.where}"
    told = _times(latency.ratio.value, "faster", "slower", "as fast as float")
    return f"{told} {latency.where}"


def _accuracy(change: AccuracyChange | None) -> str:
    """
    >>> from edgekit.evaluation.metrics import measurement
    >>> drop = measurement(1.0, "points", Evidence.HOST, "paired", 200)
    >>> counts = {"lost": 3, "won": 1, "mcnemar_p": 0.6}
    >>> _accuracy(AccuracyChange(drop=drop, verdict=Verdict.CANNOT_TELL, **counts))
    '2 of 200 images worse, which may be chance'
    """
    if change is None:
        return ""
    net, images = change.lost - change.won, f"{change.drop.samples or 0:,} images"
    chance = ", which may be chance" if change.verdict is Verdict.CANNOT_TELL else ""
    if net == 0:
        return f"right on as many of {images}"
    return f"{abs(net):,} of {images} {'worse' if net > 0 else 'better'}{chance}"


def _badges(report: Report, row: RowRecord) -> tuple[Badge, ...]:
    change, latency = row.validation.change, latency_to_tell(report, row)
    found = [Badge(f"accuracy evidence: {row.validation.top1.evidence}", "plain", "evidence")]
    if believed(latency.ratio):
        found.append(Badge(f"latency evidence: {latency.evidence}", "plain", "evidence"))
    elif latency.ratio:
        found.append(Badge("latency invalid", "bad", "evidence"))
    if change:
        kind = KINDS.get(change.verdict, "unknown")
        found.append(Badge(f"accuracy: {change.verdict}", kind, "verdict"))
    if latency.ratio and latency.verdict:
        kind = KINDS.get(latency.verdict, "unknown")
        found.append(Badge(f"speed: {latency.verdict}", kind, "verdict"))
    return (*found, *_gate_badges(report))


def _gate_badges(report: Report) -> list[Badge]:
    """Of the file that ships; where none does, of all that had to pass."""
    rows = [
        row
        for row in report.rows
        if (row.variant == report.chosen if report.chosen else row.variant not in report.left_out)
    ]
    counts = Counter(gate.verdict for row in rows for gate in row.gates)
    if not counts:
        return [Badge("no gates", "plain", "gate")]
    return [
        Badge(f"{counts[v]} gate{'s' if counts[v] > 1 else ''} {words}", KINDS[v], "gate")
        for v, words in (
            (GateVerdict.HELD, "held"),
            (GateVerdict.BROKEN, "broken"),
            (GateVerdict.CANNOT_TELL, "open: cannot tell"),
        )
        if counts[v]
    ]


def _answers(report: Report, row: RowRecord) -> tuple[Reply, ...]:
    return (
        _what(report, row),
        _how_good(report, row),
        _how_sure(report, row),
        _on_what(report, row),
        _next(report, row),
    )


def _what(report: Report, row: RowRecord) -> Reply:
    question = "What do I ship?"
    if report.chosen is None or report.status is Status.UNTRAINED:
        return Reply(question, "Nothing.", f"{row.variant} {row.stage} was the last to be measured")
    size = row.validation.size
    of_file = f"{row.precision}, {size.value:.2f} {size.unit} ({size.evidence})"
    return Reply(question, f"The folder {row.variant}/: {of_file}", _why(report))


def _why(report: Report) -> str:
    """Why this one."""
    if report.choice is None:
        return "the only variant that passed"
    passed = f"of {len(report.choice.ratios)} that passed"
    for ratio in report.choice.ratios.values():
        if isinstance(ratio, InvalidMeasurement):
            return f"one {passed}: the runs tell no order ({ratio.reason})"
    why = "the clearest scores" if report.choice.clearest else "the fastest"
    doubt = f", but {report.choice.doubt}" if report.choice.doubt else ""
    return f"{why} {passed}{doubt}"


def _how_good(report: Report, row: RowRecord) -> Reply:
    v, plain = row.validation, float_row(report, row)
    short = f"{interval(v.top1)} % right ({v.top1.evidence})"
    if plain and plain is not row:
        short += f"; float {plain.validation.top1.value:.1f} %"
    latency = latency_to_tell(report, row)
    ratio = believed(latency.ratio)
    if ratio:
        more = f"{interval(ratio, 2)} times float's latency {latency.where} ({ratio.evidence})"
    elif isinstance(latency.ratio, InvalidMeasurement):
        more = f"latency — ({latency.ratio.reason})"
    else:
        more = "float itself: nothing to hold its latency against"
    return Reply("How good is it?", short, "; ".join(filter(None, (more, _estimated(report, row)))))


def _estimated(report: Report, row: RowRecord) -> str:
    """What its core would take, where nobody has timed it there."""
    known = report.estimates.variants.get(row.variant) if report.estimates else None
    return f"estimated for the target: {known}" if known and untimed(report, row) else ""


def _how_sure(report: Report, row: RowRecord) -> Reply:
    question, change = "How sure is that?", row.validation.change
    if report.status is Status.UNTRAINED:
        return Reply(question, "Nothing can be concluded.")
    doubts = ["other jobs disturbed the latency"] if row.validation.latency.disturbed else []
    if change is None:
        return Reply(question, "Float itself: there is no loss to judge.", "; ".join(doubts))
    drop = change.drop
    short = f"Accuracy against float: {change.verdict}. Drop {interval(drop)} points"
    counted = f"{change.lost} images lost, {change.won} won, p = {change.mcnemar_p:.2f}"
    return Reply(question, short, "; ".join([counted, *doubts]))


def _on_what(report: Report, row: RowRecord) -> Reply:
    top1, missing, device = row.validation.top1, untimed(report, row), row.on_device
    short = f"{top1.samples or 0:,} {report.data.evaluated_on} images of {report.data.source}"
    machine = device.device if device and _is_result(device) else report.environment.get("cpu", "?")
    return Reply("Measured on what?", short, f"{machine}{f'; not on {missing}' if missing else ''}")


def _next(report: Report, row: RowRecord) -> Reply:
    question = "What next?"
    if report.status is Status.UNTRAINED and report.chance:
        return Reply(question, report.chance.advice(trains=bool(report.curves)))
    if report.chosen is None:
        return Reply(
            question,
            "See where the file parts from float; then change the recipe, or the gate.",
            command=f"edgekit inspect {row.variant}",
        )
    if row.validation.latency.disturbed:
        return Reply(question, "Build again while the machine is quiet, then measure on a device.")
    if untimed(report, row):
        return Reply(question, "Measure it on a device.", command="edgekit bench . --device NAME")
    return Reply(question, "Put it in use.", command="edgekit deploy . --device NAME")
