"""Render a report. Everything on the page comes from the report alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from edgekit.build_folder.report import Report
from edgekit.comparison.record import CompareReport
from edgekit.evidence import InvalidMeasurement, Measurement, in_images
from edgekit.printable import printable
from edgekit.report.comparison import Comparison
from edgekit.report.matrix import MatrixReport
from edgekit.runtimes.contract.compiled_metadata import Audit


def render_markdown(report: Report) -> str:
    return render("report.md.j2", escape=False, report=report)


def render_html(report: Report) -> str:
    return render("report.html.j2", escape=True, report=report)


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
    return render("compare.html.j2", escape=True, report=report)


def interval(figure: Measurement | InvalidMeasurement | None, digits: int = 1) -> str:
    """`82.5 (79.1 to 85.4)`, or an em dash for what was not measured, with the reason for what
    cannot be believed: `— (machine too busy)`."""
    value, ends = value_and_range(figure, digits)
    return f"{value} ({ends})" if ends else value


def value_and_range(
    figure: Measurement | InvalidMeasurement | None, digits: int = 1
) -> tuple[str, str]:
    """What every page shows of a figure, and what it shows beside it."""
    if figure is None:
        return "—", ""
    if isinstance(figure, InvalidMeasurement):
        return "—", figure.reason
    ends = "" if figure.low is None else f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
    return f"{figure.value:.{digits}f}", ends


def render(template: str, escape: bool, **values: Any) -> str:
    return printable(_environment(escape).get_template(template).render(**values))


@cache
def _environment(escape: bool) -> Any:
    import jinja2

    folder = resources.files("edgekit.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(folder)),
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
    import markdown_it
    import markupsafe

    return markupsafe.Markup(markdown_it.MarkdownIt("js-default").render(text))


def _inline(text: str) -> Any:
    """The same within a line."""
    import markdown_it
    import markupsafe

    return markupsafe.Markup(markdown_it.MarkdownIt("js-default").renderInline(text))
