"""A sweep laid out for a person. Everything on the page comes from the report alone."""

from __future__ import annotations

from edgekit.evidence import Measurement, believed
from edgekit.model_search.plot import Dot, plane
from edgekit.model_search.points import PointRecord
from edgekit.model_search.sweep import SweepReport
from edgekit.report.render import render
from edgekit.spec.fields import text_among

ROOM = "edgekit.model_search"


def render_sweep(report: SweepReport) -> str:
    passed = [point for point in report.points if point.ships and point.top1]
    return render(
        "sweep.html.j2",
        escape=True,
        room=ROOM,
        report=report,
        plots=[
            drawing
            for drawing in (
                plane(_dots(passed, "latency"), report.latency_is, "top-1 %"),
                plane(_dots(passed, "size"), "MB", "top-1 %"),
            )
            if drawing
        ],
        text=text_among,
    )


def _dots(points: list[PointRecord], across: str) -> list[Dot]:
    found = []
    for point in points:
        figure: Measurement | None = believed(getattr(point, across))
        if figure and point.top1:
            found.append(Dot(point.name, point.title, figure, point.top1))
    return found
