"""What a search tells while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgekit.evidence import interval
from edgekit.model_search.axes import size_of
from edgekit.model_search.report import CandidateRecord, SearchReport

if TYPE_CHECKING:  # what a search runs, which its words are told without
    from edgekit.model_search.evaluate import Lab
    from edgekit.model_search.task import SearchTask


def beforehand(task: SearchTask, lab: Lab, budget: float | None) -> Iterator[str]:
    """How much is compared, on which images, and what is taken in the end."""
    axes = task.space.axes
    fields = ", ".join(f"{path} {len(values)}" for path, values in axes.items())
    yield f"{task.most} of {size_of(axes)} candidates at most; values: {fields}"
    splits = [sample.split for sample in lab.source(task.recipe).listing().samples]
    yield (
        f"{splits.count('train'):,} training images to learn from, "
        f"{splits.count('validation'):,} others, held back, to choose by"
    )
    if not task.limits:
        yield "no limit is given: the fastest that is as accurate as the best one is taken"
    if budget is None:
        yield "no budget is given: it ends when all are compared and the front is built"


def not_tried(report: SearchReport) -> Iterator[str]:
    for why, names in report.not_tried.items():
        yield f"Not tried: {names}: {why}"


def compared(report: SearchReport, most: int) -> str:
    """What came of the candidate that was told last."""
    last = report.candidates[-1]
    return f"{len(report.candidates)} of {most} compared; {outcome(last, report.unit)}"


def outcome(record: CandidateRecord, unit: str) -> str:
    if record.dropped:
        return f"{record.title} goes no further; {record.dropped}"
    figures = [
        f"{interval(record.top1)} % of the held-back images" if record.top1 else "",
        f"latency {interval(record.latency, 2)} {unit}" if record.latency else "",
        f"{interval(record.size, 2)} MB" if record.size else "",
    ]
    return f"{record.title}, {record.rung} training: {', '.join(filter(None, figures))}"
