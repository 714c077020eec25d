"""The first screen of a report: what to ship, in one sentence, and five answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgekit.build_folder.headline import (
    LatencyToTell,
    float_row,
    headline_row,
    latency_to_tell,
    untimed,
)
from edgekit.build_folder.reading import LAST_PASSED
from edgekit.build_folder.report import Report, RowRecord
from edgekit.data.problem import counted
from edgekit.evaluation.gates import GateVerdict
from edgekit.evaluation.metrics import AccuracyChange
from edgekit.evidence import InvalidMeasurement, Status, Verdict, believed, interval
from edgekit.report.figures import times

ENOUGH = 50
"""Images of which one is no more than 2 points."""
OWN_PHOTOS = ("imagefolder",)
"""Sources that are the user's own files."""
TO_ADD = "once before: edgekit device add NAME --ssh USER@HOST, or --adb SERIAL for a phone"
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
    return times(ratio.value, "smaller", "larger", "as large as float") if ratio else ""


def _speed(latency: LatencyToTell) -> str:
    if isinstance(latency.ratio, InvalidMeasurement):
        return f"speed not known ({latency.ratio.reason})"
    if latency.ratio is None:
        return ""
    if latency.verdict is Verdict.CANNOT_TELL:
        return f"speed cannot be told from float's {latency.where}"
    told = times(latency.ratio.value, "faster", "slower", "as fast as float")
    but = "but " * (latency.verdict is Verdict.WORSE)
    return f"{but}{told} {latency.where}"


def _accuracy(change: AccuracyChange | None) -> str:
    """
    >>> from edgekit.evaluation.metrics import measurement
    >>> from edgekit.evidence import Evidence
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
    found: dict[GateVerdict, list[str]] = {}
    for gate in (gate for row in rows for gate in row.gates):
        found.setdefault(gate.verdict, []).append(gate.gate)
    if not found:
        return [Badge("no gates", "plain", "gate")]
    return [
        Badge(f"{_gates(found[v])} {words}", KINDS[v], "gate")
        for v, words in (
            (GateVerdict.HELD, "held"),
            (GateVerdict.BROKEN, "broken"),
            (GateVerdict.CANNOT_TELL, "open: cannot tell"),
        )
        if v in found
    ]


def _gates(names: list[str]) -> str:
    """One by its name, several by their number."""
    return f"gate {names[0]}" if len({*names}) == 1 else f"{len(names)} gates"


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
    apart = "".join(f"; {name} is not compared" for name in report.not_compared)
    passed = f"of the {len(report.choice.ratios)} compared"
    for ratio in report.choice.ratios.values():
        if isinstance(ratio, InvalidMeasurement):
            return f"one {passed}: the runs tell no order ({ratio.reason}){apart}"
    if report.choice.clearest:
        return f"{passed}, {report.choice.doubt}{apart}"
    doubt = f", but {report.choice.doubt}" if report.choice.doubt else ""
    return f"the fastest {passed}{doubt}{apart}"


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
    disturbed = latency_to_tell(report, row).disturbed
    doubts = ["other jobs disturbed the latency"] if disturbed else []
    if change is None:
        return Reply(question, "Float itself: there is no loss to judge.", "; ".join(doubts))
    drop = change.drop
    short = f"Accuracy against float: {change.verdict}. Drop {interval(drop)} points"
    lost = counted(change.lost, "image")
    flips = f"{lost} lost, {change.won} won, p = {change.mcnemar_p:.2f}"
    return Reply(question, short, "; ".join([flips, *doubts]))


def _on_what(report: Report, row: RowRecord) -> Reply:
    top1, missing = row.validation.top1, untimed(report, row)
    own = report.data.source in OWN_PHOTOS
    whose = "" if own else f" of {report.data.source}"
    short = f"{top1.samples or 0:,} {report.data.evaluated_on} images{whose}"
    machine = latency_to_tell(report, row).device or report.environment.get("cpu", "?")
    return Reply("Measured on what?", short, f"{machine}{f'; not on {missing}' if missing else ''}")


def _next(report: Report, row: RowRecord) -> Reply:
    question = "What next?"
    if report.status is Status.UNTRAINED and report.chance:
        return Reply(question, report.chance.advice(trains=bool(report.curves)))
    if report.chosen is None:
        passed = _inspectable(report)
        if not passed:
            return Reply(question, "Change the recipe, or the gate.")
        see = f"See where {passed}, as it was before, parts from float"
        command = f"edgekit inspect {LAST_PASSED}/{passed}"
        return Reply(question, f"{see}; then change the recipe, or the gate.", command=command)
    if latency_to_tell(report, row).disturbed:
        return Reply(question, "Build again while the machine is quiet, then measure on a device.")
    if untimed(report, row):
        images = row.validation.top1.samples or 0
        short = "Measure it on a device."
        if 0 < images < ENOUGH:
            point = f"one of {images} is {100 / images:.2g} points"
            short = f"Judge by more images: {point}. Then measure it on a device."
        return Reply(question, short, TO_ADD, command="edgekit bench . --device NAME")
    return Reply(question, "Put it in use.", command="edgekit deploy . --device NAME")


def _inspectable(report: Report) -> str:
    """A variant that a build whose gate broke has left compressed in last-passed/. In a folder of
    the variant's own name lies what an earlier build made, if anything."""
    last = {row.variant: row for row in report.rows if all(gate.passed for gate in row.gates)}
    compressed = (name for name, row in last.items() if row.precision != "float32")
    return next(compressed, "") if report.broken else ""
