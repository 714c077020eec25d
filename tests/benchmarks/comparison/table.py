"""Render results.json as Markdown, from that file alone."""

from __future__ import annotations

from edgekit.evidence import Measurement
from tests.benchmarks.comparison.results import (
    Difference,
    Duel,
    Paired,
    Results,
    RowResult,
    SubjectResult,
)

HEAD = """| runtime | made by | top-1 % | against float, points (95 %) | agreement % (95 %) | \
SQNR dB | MB | latency / float (95 %) | minutes | lines |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""
DUELS = """| model | runtime | recipe | accuracy, points (95 %) | agreement, points (95 %) | \
SQNR, dB (95 %) | latency, ratio (95 %) |
|---|---|---|--:|--:|--:|--:|
"""
EXPLANATION = """\
Every file of one model is made from the same trained torch model and the same calibration images,
and is judged on the same images, which nobody has seen. *Against float* compares image by image
with the torch model: Agresti-Min intervals, below zero is a loss. *Agreement* is the share of
images with the torch model's class (Wilson intervals); *SQNR* is the median over images. *Latency*
is a ratio to the float file that the runtime's own converter makes, all files of a model and a
runtime interleaved in one process, one thread; a figure in brackets was disturbed by other work on
the machine. *Minutes* is the wall time of making the file, without the training that all share.
*Lines* counts what a user writes from the trained model and the decoded images on, in Python; for
edgekit the whole recipe in YAML, model, data and training included. A peer's file takes normalised
floats; edgekit's takes raw pixels, and normalises them inside. `method: auto` judges what it tries
on images held back from the training side; where there are only enough of them to calibrate on, it
shares those out.
"""
DUEL_EXPLANATION = """\
Each figure is held against the peer of the same runtime that is best at it, chosen with these very
figures, which favours the peers. Positive is in edgekit's favour, but for latency, where it is
below 1. In bold: where the interval, and for accuracy and agreement McNemar's test too, leaves no
doubt. The peer is named behind each figure.
"""


def render(results: Results) -> str:
    """A page of Markdown."""
    machine = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    quick = " Few images, to see that it works: no figure means anything." if results.quick else ""
    parts = [
        f"Measured on {results.date} with `{results.command}`.{quick}\n\n"
        f"Machine: {machine}. Versions: {versions}.\n",
        EXPLANATION,
        *(_subject(subject) for subject in results.subjects),
        *(f"## {name}\n\nSkipped: {reason}.\n" for name, reason in results.skipped.items()),
        "## edgekit against the best peer\n",
        DUEL_EXPLANATION,
        _duels(results),
        _tally(results),
    ]
    return "\n".join(parts)


def _subject(subject: SubjectResult) -> str:
    top1 = subject.float_top1
    facts = (
        f"`{subject.arch}` at {subject.image_size} px on {subject.images}: {subject.judged} images "
        f"judged, {subject.calibrated} to calibrate. The torch model: {_interval(top1)} % right."
    )
    order = {"float": 0, "ptq": 1, "pruned": 2, "qat": 3}
    rows = sorted(subject.rows, key=lambda r: (r.runtime, order[r.family], r.ours))
    body = "".join(_row(row) for row in rows)
    return f"## {subject.name}\n\n{facts}\n\n{HEAD}{body}"


def _row(row: RowResult) -> str:
    head = f"| {row.runtime} | {row.name} "
    if row.scores is None:
        reason = " ".join((row.error or "not measured").replace("|", "/").split())
        return f"{head}| {reason[:400]} | | | | | | | {row.lines} {row.language} |\n"
    scores = row.scores
    cells = (
        f"{scores.top1.value:.1f}",
        _signed(scores.against_float),
        _interval(scores.agreement),
        f"{scores.sqnr_db:.1f}",
        f"{row.size_mb:.2f}",
        _latency(row.latency, row.disturbed),
        f"{row.minutes:.1f}",
        f"{row.lines} {row.language}",
    )
    return f"{head}| {' | '.join(cells)} |\n"


def _duels(results: Results) -> str:
    return DUELS + "".join(
        _duel(subject.name, duel) for subject in results.subjects for duel in subject.duels
    )


def _tally(results: Results) -> str:
    """How often each of edgekit's recipes is surely better or worse than the best peer."""
    duels = [duel for subject in results.subjects for duel in subject.duels]
    lines = []
    for name in dict.fromkeys(duel.name for duel in duels):
        own = [duel for duel in duels if duel.name == name]
        counts = []
        for figure in ("accuracy", "agreement", "sqnr_db"):
            signs = [_sign(getattr(duel, figure)) for duel in own]
            word = {"sqnr_db": "SQNR"}.get(figure, figure)
            counts.append(f"{word} better on {signs.count(1)}, worse on {signs.count(-1)}")
        lines.append(f"- {name}, {len(own)} rows: {'; '.join(counts)}.\n")
    unopposed = [
        f"- {row.name} on {subject.name} with {row.runtime}: no peer's file runs.\n"
        for subject in results.subjects
        for row in subject.rows
        if row.ours
        and row.scores
        and (row.name, row.runtime) not in {(d.name, d.runtime) for d in subject.duels}
    ]
    return "".join(lines + unopposed)


def _sign(figure: Paired | Difference) -> int:
    """1 for surely better, -1 for surely worse, 0 where one cannot tell."""
    if isinstance(figure, Paired) and figure.verdict == "cannot tell":
        return 0
    return int(figure.low > 0) - int(figure.high < 0)


def _duel(model: str, duel: Duel) -> str:
    cells = (
        model,
        duel.runtime,
        duel.name,
        f"{_signed(duel.accuracy)} {duel.accuracy_peer}",
        f"{_signed(duel.agreement)} {duel.agreement_peer}",
        f"{_signed(duel.sqnr_db)} {duel.sqnr_peer}",
        f"{_latency(duel.latency, duel.disturbed)} {duel.latency_peer}" if duel.latency else "",
    )
    return f"| {' | '.join(cells)} |\n"


def _signed(figure: Paired | Difference) -> str:
    text = f"{figure.value if isinstance(figure, Difference) else figure.gain:+.1f}"
    bold = f"**{text}**" if _sign(figure) else text
    return f"{bold} ({figure.low:+.1f} to {figure.high:+.1f})"


def _interval(figure: Measurement) -> str:
    return f"{figure.value:.1f} ({figure.low:.1f} to {figure.high:.1f})"


def _latency(figure: Measurement | None, disturbed: bool) -> str:
    if figure is None:
        return ""
    text = f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"
    return f"[{text}]" if disturbed else text
