"""The drawings of a report: what each stage changed, and accuracy against latency."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from edgekit.build_folder.report import Report, RowRecord
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, believed
from edgekit.models.training_curve import TrainingCurve
from edgekit.report.svg import TEXT, Drawing, Scale, around, digits_of

WIDTH = 440
LEFT, RIGHT = 118, 356
"""Where the bars of a waterfall begin and end: names to the left, figures to the right."""
STEP = 26

Figure = Measurement | InvalidMeasurement | None


@dataclass(frozen=True)
class Waterfall:
    """One figure of a variant over its stages."""

    title: str
    evidence: Evidence
    drawing: Drawing
    note: str = ""


@dataclass(frozen=True)
class Scatter:
    drawing: Drawing
    evidence: Evidence
    across: str
    """What the latency is held against."""
    missing: dict[str, str]
    """Candidates that are not drawn, each with the reason."""


def waterfalls(report: Report, variant: str) -> list[Waterfall]:
    rows = [row for row in report.rows if row.variant == variant]
    if len(rows) < 2:
        return []
    told = [row.validation for row in rows]
    ratios = [v.latency.ratio for v in told]
    return [
        _waterfall("top-1, %", rows, [v.top1 for v in told], 1, zero=False),
        _waterfall("MB", rows, [v.size for v in told], 2, zero=True),
        _waterfall("latency against float", rows, ratios, 2, zero=True, of_float=1.0),
    ]


def _waterfall(
    title: str,
    rows: list[RowRecord],
    figures: Sequence[Figure],
    digits: int,
    zero: bool,
    of_float: float | None = None,
) -> Waterfall:
    """
    Args:
        zero: the scale begins at 0; else it shows what little changes, and that it does not.
        of_float: what a float model has by definition.
    """
    names = [row.stage for row in rows]
    values = [
        of_float if row.baseline and of_float is not None else _value(figure)
        for row, figure in zip(rows, figures, strict=True)
    ]
    measured = [f for f in figures if isinstance(f, Measurement)]
    known = [*(v for v in values if v is not None), *_ends(measured)]
    scale = Scale(*around(known, zero), LEFT, RIGHT)
    height = STEP * len(names) + TEXT + 8
    drawing = Drawing(WIDTH, height, f"{title}: {_told(names, figures, digits)}")
    drawing.axis(scale, height - TEXT - 6, 0, digits_of(scale))
    _bars(drawing, scale, list(zip(names, values, figures, strict=True)), digits, zero)
    evidence = next((f.evidence for f in figures if f), Evidence.HOST)
    return Waterfall(title, evidence, drawing, "" if zero else "The axis does not begin at 0.")


def _bars(
    drawing: Drawing,
    scale: Scale,
    stages: list[tuple[str, float | None, Figure]],
    digits: int,
    zero: bool,
) -> None:
    """Each from where the one before it ended."""
    before = scale.low
    for i, (name, value, one) in enumerate(stages):
        middle = STEP * i + STEP / 2
        drawing.words(LEFT - 6, middle + 4, name, "end")
        if value is None:
            reason = one.reason if isinstance(one, InvalidMeasurement) else "not measured"
            drawing.words(LEFT + 6, middle + 4, f"— ({reason})", kind="tick")
            continue
        change = before - value if zero else value - before
        kind = "whole" if i == 0 or not change else "gain" if change > 0 else "loss"
        drawing.bar(scale(before), middle - 8, scale(value), middle + 8, kind)
        _whisker(drawing, one, scale, middle)
        drawing.words(RIGHT + 8, middle + 4, f"{value:.{digits}f}")
        before = value


def _whisker(drawing: Drawing, figure: Figure, scale: Scale, y: float) -> None:
    if isinstance(figure, Measurement) and figure.low is not None and figure.high is not None:
        drawing.line(scale(figure.low), y, scale(figure.high), y, "whisker")


def _value(figure: Figure) -> float | None:
    return figure.value if isinstance(figure, Measurement) else None


def _told(names: list[str], figures: Sequence[Figure], digits: int) -> str:
    shown = ("—" if (v := _value(f)) is None else f"{v:.{digits}f}" for f in figures)
    return ", ".join(f"{name} {value}" for name, value in zip(names, shown, strict=True))


def candidates(report: Report) -> Scatter | None:
    """Accuracy against latency of every last file; None where there is nothing to hold together."""
    rows = [row for row in report.rows if row.last]
    across, latencies = _latencies(report, rows)
    drawn = {row.variant: (row, latencies[row.variant]) for row in rows if row.variant in latencies}
    if not drawn:
        return None
    top1s = [row.validation.top1 for row, _ in drawn.values()]
    across_scale = Scale(*around(_ends(x for _, x in drawn.values()), zero=True), 48, WIDTH - 16)
    up_scale = Scale(*around(_ends(top1s)), 200, 12)
    told = ", ".join(
        f"{name} {row.validation.top1.value:.1f} % at {x.value:.2f}"
        for name, (row, x) in drawn.items()
    )
    drawing = Drawing(WIDTH, 240, f"top-1 against latency: {told}")
    drawing.axis(across_scale, 204, 8, digits_of(across_scale))
    drawing.side(up_scale, 48, WIDTH - 16, digits_of(up_scale))
    labels: list[tuple[float, float]] = []
    for row, x in drawn.values():
        chosen = row.variant == report.chosen
        _candidate(drawing, row, x, across_scale, up_scale, chosen, labels)
    drawing.words(WIDTH - 16, 236, across, "end", "tick")
    evidence = next(x.evidence for _, x in drawn.values())
    return Scatter(drawing, evidence, across, _missing(report, rows, drawn))


def _candidate(
    drawing: Drawing,
    row: RowRecord,
    latency: Measurement,
    across: Scale,
    up: Scale,
    chosen: bool,
    labels: list[tuple[float, float]],
) -> None:
    """
    Args:
        labels: where names stand already; the new one is added.
    """
    top1 = row.validation.top1
    x, y = across(latency.value), up(top1.value)
    if top1.low is not None and top1.high is not None:
        drawing.line(x, up(top1.low), x, up(top1.high), "range")
    if latency.low is not None and latency.high is not None:
        drawing.line(across(latency.low), y, across(latency.high), y, "range")
    drawing.dot(x, y, "point")
    is_right = x > WIDTH / 2
    kind = "chosen" if chosen else ""
    place = x - 8 if is_right else x + 8
    height = y - 6
    while any(abs(height - h) < TEXT and abs(place - p) < WIDTH / 2 for p, h in labels):
        height += TEXT
    labels.append((place, height))
    drawing.words(place, height, row.variant, "end" if is_right else "start", kind)


def _ends(figures: Iterable[Measurement]) -> list[float]:
    """Values and the ends of their intervals."""
    return [end for f in figures for end in (f.low, f.high, f.value) if end is not None]


def _latencies(report: Report, rows: list[RowRecord]) -> tuple[str, dict[str, Measurement]]:
    """The one latency that all candidates share: a device's milliseconds, the run that chose among
    them, or each against float on its own runtime."""
    runs = {row.variant: row.on_device for row in rows if row.on_device}
    on_device = {name: m for name, run in runs.items() if (m := believed(run.told(run.median)))}
    if on_device:
        names = dict.fromkeys(run.device for run in runs.values())
        return f"ms on {', '.join(names)}", on_device
    if report.choice:
        ratios = {name: r for name, one in report.choice.ratios.items() if (r := believed(one))}
        if ratios:
            return f"times the latency of {report.choice.fastest}", ratios
    own = {row.variant: r for row in rows if (r := believed(row.validation.latency.ratio))}
    return "times the latency of float on the same runtime", own


def _missing(report: Report, rows: list[RowRecord], drawn: Collection[str]) -> dict[str, str]:
    return {row.variant: _why_missing(report, row) for row in rows if row.variant not in drawn}


def _why_missing(report: Report, row: RowRecord) -> str:
    latency = row.validation.latency.ratio
    if isinstance(latency, InvalidMeasurement):
        return latency.reason
    return report.left_out.get(row.variant) or "it was not in the run that compares them"


def training(found: TrainingCurve) -> Drawing:
    """Accuracy from 0 to 100 %, the loss from 0 to its highest."""
    points = found.points
    across = Scale(1, max(len(points), 2), 36, WIDTH - 16)
    drawing = Drawing(WIDTH, 150, str(found))
    percent = Scale(0, 100, 124, 10)
    drawing.side(percent, 36, WIDTH - 16)
    drawing.words(WIDTH - 16, 144, f"{len(points)} epochs", "end", "tick")
    top = max((p.loss for p in points), default=1.0) or 1.0
    drawing.path(((across(p.epoch), 124 - 114 * p.loss / top) for p in points), "loss")
    seen = [(across(p.epoch), percent(p.accuracy)) for p in points if p.accuracy is not None]
    if seen:
        drawing.path(seen, "accuracy")
        drawing.dot(*seen[-1])
    return drawing
