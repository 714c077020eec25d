"""A search laid out for a person. Everything on the page comes from the report alone."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.evidence import Measurement, believed
from edgekit.model_search.plot import Dot, plane
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.rungs import Rung
from edgekit.report.render import render
from edgekit.report.svg import Drawing
from edgekit.spec.fields import text_among

ROOM = "edgekit.model_search"


def render_search(report: SearchReport) -> str:
    compared = [c for c in report.candidates if c.top1]
    return render(
        "search.html.j2",
        escape=True,
        room=ROOM,
        report=report,
        front=[report.candidate(name) for name in report.front],
        others=[c for c in report.candidates if c.name not in report.front],
        plots=_plots(report, compared),
        text=text_among,
    )


def _plots(report: SearchReport, compared: Sequence[CandidateRecord]) -> list[Drawing]:
    latency, up = f"latency, {report.unit}", "top-1 % on the held-back images"
    made = [
        plane(_dots(report, compared, "latency"), latency, up),
        plane(_dots(report, compared, "size"), "MB", up),
    ]
    return [drawing for drawing in made if drawing]


def _dots(report: SearchReport, compared: Sequence[CandidateRecord], across: str) -> list[Dot]:
    found = []
    for point in compared:
        figure: Measurement | None = believed(getattr(point, across))
        if figure and point.top1:
            found.append(
                Dot(
                    point.name,
                    point.title,
                    figure,
                    point.top1,
                    marked=point.name == report.recommended,
                    short=point.rung is not Rung.FULL,
                    soft=bool(report.front) and point.name not in report.front,
                )
            )
    return found
