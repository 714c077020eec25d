"""What `edgekit compare` prints."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rich.table import Table

from edgekit.cli._terminal import Terminal
from edgekit.comparison.differences import OWN_STEPS
from edgekit.comparison.record import (
    AccuracyComparison,
    CompareReport,
    Difference,
    LatencyComparison,
    PairRecord,
)
from edgekit.evidence import FEW_IMAGES, in_images, interval

MAX_FLIPPED, MAX_DIFFERENCES = 10, 20
"""Rows in a terminal; --html and --json have all."""


def show_comparison(found: CompareReport, out: Terminal) -> None:
    out.print(_sides(found))
    for doubt, letters in found.doubts.items():
        out.print(f"{letters}: {doubt}", soft_wrap=True)
    for name in found.unpaired:
        out.print(f"Only one build has {name}", soft_wrap=True)
    for pair in found.pairs:
        _show_pair(pair, out)


def _sides(found: CompareReport) -> Table:
    table = Table()
    for heading in ("", "compared", "runtime", "for / on"):
        table.add_column(heading, overflow="fold")
    for heading in ("top-1 %", "evidence", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for side in found.sides:
        table.add_row(
            side.letter,
            side.path,
            f"{side.runtime} {side.precision}",
            side.where,
            interval(side.top1),
            side.top1.evidence if side.top1 else "",
            f"{side.size.value:.2f}",
        )
    return table


def _show_pair(pair: PairRecord, out: Terminal) -> None:
    table = Table(title=f"{pair.names}{': the same file' if pair.same_file else ''}")
    for heading in ("", "figure", "verdict", "evidence"):
        table.add_column(heading, no_wrap=True)
    table.add_column("", overflow="fold")
    table.add_row("accuracy", *accuracy_cells(pair.accuracy))
    for latency in pair.latency:
        table.add_row("latency", *latency_cells(latency))
    smaller = f"{pair.size_ratio.value:.2f} times"
    table.add_row("size", smaller, "", pair.size_ratio.evidence, "")
    out.print(table)
    _show_flipped(pair, out)
    _show_differences("operators", pair, pair.operators, out)
    if pair.operators_untold:
        out.print(f"Operators: {pair.operators_untold}.", soft_wrap=True)
    if not pair.same_file:
        _show_differences("settings", pair, pair.settings, out, [*_telling(pair.settings)])


def accuracy_cells(found: AccuracyComparison) -> tuple[str, str, str, str]:
    """Figure, verdict, evidence, and what stands behind them."""
    if found.change is None:
        return "—", found.verdict, "", found.reason
    drop = found.change.drop
    told = (
        f"{found.images:,} images, {found.change.lost} lost, {found.change.won} won, "
        f"McNemar p = {found.change.mcnemar_p:.2f}"
    )
    few = f"; {in_images(drop)}" if found.images <= FEW_IMAGES else ""
    return f"drop {interval(drop)} points", found.verdict, drop.evidence, told + few


def latency_cells(found: LatencyComparison) -> tuple[str, str, str, str]:
    medians = " and ".join(f"{interval(m, 2)} ms" for m in found.medians if m)
    told = "; ".join(filter(None, (found.where, medians, found.reason)))
    figure = f"{interval(found.ratio, 2)} times" if found.ratio and not found.reason else "—"
    return figure, found.verdict, found.evidence or "", told


def _show_flipped(pair: PairRecord, out: Terminal) -> None:
    flipped = pair.accuracy.flipped
    if not flipped:
        return
    first, second = pair.first.letter, pair.second.letter
    table = Table(title=f"{len(flipped):,} of {pair.accuracy.images:,} images flip")
    for heading in ("image", "label", first, second, ""):
        table.add_column(heading, overflow="fold")
    for image in islice(flipped, MAX_FLIPPED):
        answers = (f"{a.name} {a.probability:.2f}" for a in image.answers)
        table.add_row(image.name, image.label, *answers, image.turn)
    out.print(table)
    _say_rest(len(flipped), MAX_FLIPPED, out)


def _telling(settings: tuple[Difference, ...]) -> Iterator[Difference]:
    """Where both have a value, each pair of values once: runtime and quantize.runtime say the
    same, and what one alone has mostly follows from its runtime or method."""
    told: set[tuple[str | None, ...]] = set()
    for each in settings:
        if each.what == OWN_STEPS or (None not in each.values and each.values not in told):
            yield each
        told.add(each.values)


def _show_differences(
    what: str,
    pair: PairRecord,
    found: tuple[Difference, ...],
    out: Terminal,
    telling: list[Difference] | None = None,
) -> None:
    """
    Args:
        telling: those to show; all of them unless given.
    """
    if not found:
        return
    shown = [*islice(found if telling is None else telling, MAX_DIFFERENCES)]
    table = Table(title=f"{what} that differ")
    for heading in (what, pair.first.letter, pair.second.letter):
        table.add_column(heading, overflow="fold")
    for row in _rows(shown):
        table.add_row(*row)
    if shown:
        out.print(table)
    _say_rest(len(found), len(shown), out)


def _rows(found: list[Difference]) -> Iterator[tuple[str, str, str]]:
    for each in found:
        before, after = ("—" if value is None else value for value in each.values)
        yield each.what, before, after


def _say_rest(count: int, shown: int, out: Terminal) -> None:
    if count > shown:
        out.print(f"and {count - shown} more: --html FILE or --json has all of them")
