"""Rows of one thing at several times, each held against the one before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.comparison.accuracy import compare_accuracy
from edgekit.comparison.side import JudgedImage, judged_by_digest
from edgekit.evaluation.metrics import AccuracyChange
from edgekit.evidence import Evidence, Verdict
from edgekit.history.database import History
from edgekit.history.entry import Entry

LIMIT = 20


class AgainstBefore(BaseModel):
    """The accuracy of a row against that of the row before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    change: AccuracyChange | None
    """None where the same images did not judge both."""
    reason: str
    """Why there is none; empty where there is."""


class TrendRow(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: Entry
    before: AgainstBefore | None
    """None of the first row."""


class Trend(BaseModel):
    """Builds of a recipe for a target, or runs of it or of a file on a device; newest last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    recipe: str | None
    target: str | None
    device: str | None
    """Of device reports alone."""
    rows: tuple[TrendRow, ...]
    older: int
    """Rows that are left out."""

    def __str__(self) -> str:
        last = self.rows[-1].entry
        sha256 = f" {last.sha256[:8]}" if last.sha256 else ""
        name = self.recipe or f"{last.variant}{sha256}"
        what = f"{name} for {self.target}" if self.target else name
        return f"{what} on {self.device}" if self.device else what


class HistoryReport(BaseModel):
    """What `edgekit history --json` prints."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    path: str
    trends: tuple[Trend, ...]


def trends_of(
    history: History,
    recipe: str | None = None,
    target: str | None = None,
    limit: int = LIMIT,
) -> list[Trend]:
    """A trend for each thing, that with the newest row last.

    Args:
        limit: rows of each at most, the newest ones.
    """
    series: dict[object, list[Entry]] = {}
    for entry in history.entries(recipe, target):
        rows = series.pop(entry.series, [])  # and in again, as the last one
        rows.append(entry)
        series[entry.series] = rows
    return [_trend(history, rows, limit) for rows in series.values()]


def _trend(history: History, entries: list[Entry], limit: int) -> Trend:
    older = max(0, len(entries) - limit)
    # One more, which the first of them is held against.
    told = [_Told(history, entry) for entry in entries[max(0, older - 1) :]]
    rows = [
        TrendRow(entry=now.entry, before=_against(before, now) if before else None)
        for before, now in zip([None, *told], told, strict=False)
    ]
    last = entries[-1]
    return Trend(
        kind=last.kind,
        recipe=last.recipe,
        target=last.target,
        device=last.series[3],
        rows=tuple(rows[-limit:]),
        older=older,
    )


@dataclass(frozen=True)
class _Told:
    """A row with its answers, as comparisons take it."""

    history: History
    entry: Entry

    @property
    def without_answers(self) -> str:
        return f"no answers to labelled images were kept {self.entry.recorded}"

    @property
    def kind(self) -> str:
        return self.entry.kind

    @property
    def evidence(self) -> Evidence:
        return self.entry.top1.evidence if self.entry.top1 else Evidence.HOST

    @cached_property
    def judged(self) -> dict[str, JudgedImage] | None:
        found = self.history.answers(self.entry)
        return judged_by_digest(found.images, found.predictions, found.classes) if found else None


def _against(before: _Told, now: _Told) -> AgainstBefore:
    found = compare_accuracy(before, now)
    return AgainstBefore(verdict=found.verdict, change=found.change, reason=found.reason)
