"""Render a report. Everything on the page comes from the report alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from edgekit.build_folder.report import Report
from edgekit.comparison.record import CompareReport
from edgekit.devices.bench.report import DeviceReport
from edgekit.evidence import Measurement, in_images, interval, value_and_range
from edgekit.printable import printable, shortened
from edgekit.report.comparison import Comparison
from edgekit.report.device_plots import device_plots
from edgekit.report.figures import of_device, times
from edgekit.report.histogram import host_latencies
from edgekit.report.image_changes import image_changes
from edgekit.report.matrix import MatrixReport
from edgekit.report.plots import candidates, training, waterfalls
from edgekit.report.summary import summarise
from edgekit.report.terms import TERMS
from edgekit.report.thumbnails import within_budget
from edgekit.runtimes.contract.compiled_metadata import Audit

ROOM = "edgekit.report"


def render_markdown(report: Report) -> str:
    return render("report.md.j2", escape=False, report=report, summary=summarise(report))


@dataclass(frozen=True)
class Beside:
    """What lies beside a report and is shown with it."""

    pictures: dict[str, str] = field(default_factory=dict)
    """Thumbnails by the digests of their images: JPEG files in base64."""
    no_pictures: str = ""
    """Why there are none though the build made some."""
    runs: dict[str, DeviceReport] = field(default_factory=dict)
    """On a device, by variant and stage: `litert-export`."""


SLOWEST = 10
"""Operators of a file that are shown at once; the rest is folded."""
MOST_FLIPS = 500
"""Of a pair that a page of `compare` shows."""
NOT_BESIDE = "they lie in the build's folder, and the report alone is shown"


def render_html(report: Report, beside: Beside | None = None) -> str:
    """The page of a build; without what lies `beside` its report, it says that it lacks that."""
    beside = beside or Beside(no_pictures=NOT_BESIDE if report.thumbnails else "")
    changes = image_changes(report)
    shown = [(each.row.variant, image.digest) for each in changes for image in each.flipped]
    return render(
        "report.html.j2",
        escape=True,
        report=report,
        summary=summarise(report),
        changes=changes,
        beside=beside,
        illustrated=within_budget(beside.pictures, shown),
        waterfalls={n: found for n in _variants(report) if (found := waterfalls(report, n))},
        scatter=candidates(report),
        curves={stage: training(curve) for stage, curve in report.curves.items()},
        slowest=SLOWEST,
        host_latencies=host_latencies(report),
        device_plots={name: device_plots(run) for name, run in beside.runs.items()},
        sections=_sections(report),
        terms=TERMS,
    )


def _variants(report: Report) -> list[str]:
    """By their names, with the one to take first."""
    names = dict.fromkeys(row.variant for row in report.rows)
    return sorted(names, key=lambda name: name != report.chosen)


def _sections(report: Report) -> dict[str, str]:
    """The titles of what the page holds, by their anchors."""
    titles = {
        "stages": "Stages",
        "candidates": "Candidates" if candidates(report) else "",
        "images": "Images" if any(row.predictions for row in report.rows) else "",
        "classes": "Classes",
        "belief": "Whom to believe",
        "gates": "Gates",
        "device": "On the device" if any(row.on_device for row in report.rows) else "",
        "use": "What to do" if report.use else "",
        "training": "Training" if report.curves else "",
        "audit": "As asked?",
        "latency": "Latency here",
        "operators": "Operators" if report.operators else "",
        "data": "Data",
        "provenance": "Provenance",
        "words": "Words",
    }
    return {anchor: title for anchor, title in titles.items() if title}


def render_comparison(
    name: str, comparison: Comparison, left_out: dict[str, str], html: bool
) -> str:
    """The targets of one float model beside each other, those that it could not reach, and those
    that were built of another."""
    template = "comparison.html.j2" if html else "comparison.md.j2"
    return render(template, html, name=name, compared=comparison, left_out=left_out)


def render_matrix(report: MatrixReport, html: bool) -> str:
    return render("matrix.html.j2" if html else "matrix.md.j2", html, report=report)


def render_compare(report: CompareReport) -> str:
    return render("compare.html.j2", escape=True, report=report, most_flips=MOST_FLIPS)


def render(template: str, escape: bool, room: str = ROOM, **values: Any) -> str:
    """
    Args:
        room: the package whose templates are looked for before those of reports.
    """
    return printable(_environment(escape, room).get_template(template).render(**values))


@cache
def _environment(escape: bool, room: str) -> Any:
    import jinja2

    folders = [str(resources.files(package) / "templates") for package in (room, ROOM)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["interval"] = interval
    environment.filters["value_and_range"] = value_and_range
    environment.tests["believed"] = lambda figure: isinstance(figure, Measurement)
    environment.filters["in_images"] = in_images
    environment.filters["of_device"] = of_device
    environment.filters["times"] = times
    environment.filters["shortened"] = shortened
    environment.filters["first_three"] = _first_three
    environment.filters["in_float"] = _in_float
    environment.filters["markdown"] = _html
    environment.filters["inline"] = _inline
    environment.filters["number"] = "{:,}".format
    return environment


def _first_three(names: Sequence[str]) -> str:
    """
    >>> _first_three("abcde"), _first_three("ab")
    ('a, b, c and 2 more', 'a, b')
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _in_float(audit: Audit | None) -> str:
    """`12 SOFTMAX, 24 BATCH_MATMUL`: what of a compressed file computes in float."""
    found = audit.left_in_float if audit else {}
    return ", ".join(f"{count} {kind}" for kind, count in found.items())


def _html(text: str) -> Any:
    """Markdown as HTML that the page may hold: raw HTML inside it is escaped."""
    import markupsafe

    return markupsafe.Markup(_parser().render(text))


def _inline(text: str) -> Any:
    """The same within a line."""
    import markupsafe

    return markupsafe.Markup(_parser().renderInline(text))


def _parser() -> Any:
    """Without pictures: a page asks nobody for anything."""
    import markdown_it

    return markdown_it.MarkdownIt("js-default").disable("image")
