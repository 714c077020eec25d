"""Pages come from the report's JSON alone, and show every row, even the ones that lose."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from edgekit.build_folder.report import Report
from edgekit.evidence import Bound, Evidence, Measurement
from edgekit.models.pruned import GroupCut, Pruned
from edgekit.models.pruned import PruningGain as CutTrial
from edgekit.report.render import render_comparison, render_html, render_markdown
from tests.build_folder.samples import figure, row, sample_report

Render = Callable[[Report], str]


@pytest.fixture
def report() -> Report:
    return sample_report()


def test_json_round_trip_renders_the_same(report: Report) -> None:
    again = Report.model_validate_json(report.model_dump_json())
    assert render_html(again) == render_html(report)
    assert render_markdown(again) == render_markdown(report)


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_every_row_figure_and_doubt_is_on_the_page(report: Report, render: Render) -> None:
    page = render(report)
    for word in (
        "litert",
        "onnxruntime",
        "source",
        "export",
        "cannot tell",
        "88.5",
        "0.57",
        "98.7",
        "21.5",
        "div.cc refuses",
        "litert-float16",
        "adb push",
        "nothing to gain: 81.2 % with it",
    ):
        assert word in page
    assert "Latency on a board" in page
    assert "x.png: truncated" in page
    assert "reaches past the limit" in page


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_a_bound_is_called_one(report: Report, render: Render) -> None:
    lower = Measurement(
        value=0.31, unit="ms", evidence=Evidence.ESTIMATED, method="roofline, a lower bound"
    )
    sizes = {"macs": 95_000_000, "weight_bytes": 2_500_000, "activation_bytes": 3_500_000}
    bounds = {
        "litert": Bound(**sizes, lower=lower),
        "onnxruntime": Bound(**sizes, lower=None, reason="nothing is known of it"),
    }
    page = render(report.model_copy(update={"bounds": bounds}))
    assert "at least 0.31 ms (roofline, a lower bound)" in page
    assert "no lower bound: nothing is known of it" in page
    assert page.count("95,000,000 multiply-accumulates, 2.50 MB of weights, 3.50 MB") == 2
    assert "at least" not in render(report)


class Closed(HTMLParser):
    VOID = frozenset({"meta", "line", "circle", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass


def test_html_is_well_formed_self_contained_and_escaped(report: Report) -> None:
    page = render_html(report)
    parser = Closed()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r"""(src|href)=|url\(|@import""", page)
    assert "<script" not in page
    assert "&lt;b&gt;odd" in page


def test_markdown_tables_have_as_many_cells_as_headings(report: Report) -> None:
    width = None
    for line in render_markdown(report).splitlines():
        cells = line.count("|") if line.startswith("|") else None
        assert width is None or cells is None or cells == width, line
        width = cells


def test_a_broken_gate_heads_the_page(report: Report) -> None:
    rows = [row("litert", "source", True), row("litert", "quantize", drop=5)]
    broken = report.model_copy(
        update={"status": "broken", "broken": ["litert quantize: drop"], "choice": None,
                "rows": rows}
    )  # fmt: skip
    assert "litert quantize: drop" in render_html(broken)[:6000]
    assert "A gate is broken" in render_markdown(broken)[:400]


@pytest.mark.parametrize("html", [True, False])
def test_a_comparison_holds_every_target_and_what_was_left_out(report: Report, html: bool) -> None:
    other = report.model_copy(update={"target": "android", "status": "broken", "rows": [],
                                      "broken": ["litert quantize: drop"]})  # fmt: skip
    page = render_comparison("demo", [report, other], {"zero2w": "reads no ONNX"}, html)
    for word in (
        "rpi", "android", "0.57", "litert-float16", "litert quantize: drop", "zero2w", "no ONNX"
    ):  # fmt: skip
        assert word in page


def cut(forced: bool) -> Pruned:
    groups = (
        GroupCut(name="conv_head", layers=3, before=1280, after=384),
        GroupCut(name="blocks.<1>", layers=2, before=96, after=96),
    )
    return Pruned(
        by="latency", keep=0.6, runtime="litert", precision="int8", importance="taylor",
        round_to=8, groups=groups, predicted=0.52, macs=(95_000_000, 38_000_000),
        parameters=(2_500_000, 900_000), forced=forced,
        trial=CutTrial(latency=figure(0.58, "ratio", 0.02), size=0.4, disturbed=False),
        table={"layers": 14, "rounds": 150, "disturbed": 3},
    )  # fmt: skip


@pytest.mark.parametrize("render", [render_markdown, render_html])
def test_a_cut_is_shown_with_what_it_promised_and_what_it_bought(
    report: Report, render: Render
) -> None:
    assert "What was cut" not in render(report)
    page = render(report.model_copy(update={"pruned": [cut(forced=False)]}))
    for shown in ("What was cut", "38,000,000", "0.58 (0.56 to 0.60)", "0.52", "conv_head", "384"):
        assert shown in page
    assert "blocks." not in page.split("What was cut")[1].split("Was it made")[0]
    assert "by force" not in page
    assert "by force" in render(report.model_copy(update={"pruned": [cut(forced=True)]}))


@pytest.mark.parametrize("render", [render_markdown, render_html])
def test_a_cut_is_shown_with_the_machine_it_was_timed_on(report: Report, render: Render) -> None:
    page = render(report.model_copy(update={"pruned": [cut(forced=False)]}))
    assert "int8 on litert, timed on the build machine (1 thread), before" in page
    there = cut(forced=False).model_copy(update={"machine": "pi5", "threads": 4})
    page = render(report.model_copy(update={"pruned": [there]}))
    assert "int8 on litert, timed on pi5 (4 threads), before" in page
