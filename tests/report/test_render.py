"""Pages come from the report's JSON alone, and show every row, even the ones that lose."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from edgekit.build_folder.report import Report
from edgekit.evidence import Bound, Evidence, InvalidMeasurement, Measurement, Verdict
from edgekit.models.pruned import GroupCut, Pruned
from edgekit.models.pruned import PruningGain as CutTrial
from edgekit.report.comparison import Comparison
from edgekit.report.matrix import Cell, MatrixReport, MatrixRow
from edgekit.report.render import render_comparison, render_html, render_markdown, render_matrix
from edgekit.runtimes.contract.compiled_metadata import (
    FloatByTime,
    Search,
    TimedGroup,
    TrialResult,
    Tried,
)
from tests.build_folder.samples import disturbed_report, figure, row, sample_report

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
    assert "rpi4: no int8 dot product" in page
    assert "x.png: truncated" in page
    assert "so it passes" in page


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_a_choice_that_is_slower_than_float_is_no_win(report: Report, render: Render) -> None:
    assert "slower than float" not in render(report)
    for one in report.rows:
        update = {"ratio": figure(1.2, "ratio", 0.01), "verdict": Verdict.WORSE}
        latency = one.validation.latency.model_copy(update=update)
        one.validation = one.validation.model_copy(update={"latency": latency})
    assert "smaller, but slower than float: 1.20 times its latency on litert" in render(report)


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_ratios_of_a_choice_are_told_against_the_fastest(report: Report, render: Render) -> None:
    assert report.choice
    report.choice = report.choice.model_copy(update={"clearest": "onnxruntime"})
    page = render(report)
    assert "litert's latency" in page or "against the latency of litert" in page
    assert "its latency cannot be told from litert" in page


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_operators_beside_the_fast_path_are_named(report: Report, render: Render) -> None:
    for one in report.rows:
        if one.audit:
            names = tuple(f"Q {i}" for i in range(5))
            one.audit = one.audit.model_copy(update={"conversions": names})
    page = render(report)
    assert "Q 0, Q 1, Q 2 and 2 more" in page
    assert "DIV divide" in page


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_operators_in_float_because_of_time_are_named(report: Report, render: Render) -> None:
    trial = TrialResult(sqnr_db=20.0, images=48, agreement=97.9)
    group = TimedGroup(group="GELU, RSQRT", operators=2, ratio=figure(0.42, "ratio", 0.02))
    tried = (Tried(way="mse", trial=trial, chosen=True),)
    last = report.rows[-1]
    last.stage, last.search = "quantize", Search(tried=tried, stop_at=97, ended="97 % hold")
    seen = FloatByTime(tried=(group,), ended="none of them is faster in float")
    last.by_time = seen
    assert "none of them is faster in float; nothing is changed" in render(report)
    chosen = {"chosen": group, "operators": ("norm/rsqrt", "act"), "trial": trial}
    last.by_time = seen.model_copy(update=chosen)
    page = render(report)
    assert "GELU, RSQRT, 2 operators: latency 0.42 (0.40 to 0.44), chosen" in page
    assert ("norm/rsqrt" if render is render_html else "manifest.json names") in page
    assert "2 are in float because of time" in page
    assert "nothing is changed" not in page


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
    assert "no figure: nothing is known of it" in page
    assert page.count("95,000,000 multiply-accumulates, 2.50 MB of weights, 3.50 MB") == 2
    assert "at least" not in render(report)


class Closed(HTMLParser):
    VOID = frozenset({"meta", "line", "circle", "br", "img"})

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
    assert not re.search(r"""(src|href)="(?!#)|url\(|@import""", page)
    assert "<script" not in page
    assert "default-src 'none'" in page
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
    assert "litert quantize: drop" in render_html(broken).split("<main>")[0]
    assert "A gate is broken" in render_markdown(broken)[:400]


@pytest.mark.parametrize("html", [True, False])
def test_a_comparison_holds_every_target_and_what_was_left_out(report: Report, html: bool) -> None:
    other = report.model_copy(update={"target": "android", "status": "broken", "rows": [],
                                      "broken": ["litert quantize: drop"]})  # fmt: skip
    page = render_comparison(
        "demo", Comparison([report, other], {"pi9": "old"}), {"zero2w": "reads no ONNX"}, html
    )
    for word in (
        "rpi", "android", "0.57", "litert-float16", "litert quantize: drop", "zero2w", "no ONNX",
        "pi9", "stale"
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


WRONG = re.compile(r"0\.0[567]\b")
"""What the clock said on a busy machine, and the ends of its interval."""


def disturbed_matrix() -> MatrixReport:
    latency = disturbed_report().rows[-1].validation.latency
    row_ = row("litert", "export")
    cell = Cell(
        target="rpi", variant="litert", precision="int8", top1=figure(88), agreement=figure(99),
        sqnr_db=24.0, size=figure(2.71, "MB"), size_ratio=0.27, latency=latency.ratio,
        verdict=latency.verdict, audit=row_.audit, float_ops=row_.float_ops,
    )  # fmt: skip
    line = MatrixRow(
        arch="net", family="nets", note="", key="k", image_size=32, epochs=1, cells=[cell]
    )
    return MatrixReport(
        edgekit="0.1.0", created="2026", name="small", source="images", images={}, environment={},
        libraries={}, columns=[("rpi", "litert")], lines=[line], open=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    "render",
    [
        render_html,
        render_markdown,
        lambda report: render_comparison("demo", Comparison([report]), {}, html=True),
        lambda report: render_comparison("demo", Comparison([report]), {}, html=False),
        lambda _: render_matrix(disturbed_matrix(), html=True),
        lambda _: render_matrix(disturbed_matrix(), html=False),
    ],
    ids=["html", "markdown", "comparison html", "comparison md", "matrix html", "matrix md"],
)
def test_a_latency_that_was_disturbed_is_a_dash_with_the_reason(render: Render) -> None:
    page = re.sub(r"<style>.*</style>", "", render(disturbed_report()), flags=re.DOTALL)
    assert re.search(r"—.{0,30}machine too busy", page)
    assert not WRONG.search(page)


def test_the_first_screen_says_that_the_machine_was_busy() -> None:
    screen = render_html(disturbed_report()).split("</header>")[0]
    assert "speed not known (machine too busy)" in screen
    assert "latency — (machine too busy)" in screen
    assert "one of the 2 compared: the runs tell no order (machine too busy)" in screen
    assert "though the runs tell no order: machine too busy" in render_markdown(disturbed_report())


def test_the_json_of_a_report_has_no_value_for_what_was_disturbed() -> None:
    written = json.loads(disturbed_report().model_dump_json())
    ratio = written["rows"][-1]["validation"]["latency"]["ratio"]
    assert ratio["valid"] is False
    assert ratio["reason"] == "machine too busy"
    assert "value" not in ratio
    assert Report.model_validate(written) == disturbed_report()


@pytest.mark.parametrize("render", [render_markdown, render_html])
def test_a_cut_timed_on_a_busy_machine_shows_no_ratio(report: Report, render: Render) -> None:
    seen = InvalidMeasurement.of(figure(0.06, "ratio", 0.01), "machine too busy")
    trial = CutTrial(latency=seen, size=0.4, disturbed=True)
    busy = cut(forced=False).model_copy(update={"trial": trial})
    page = render(report.model_copy(update={"pruned": [busy]}))
    assert "— (machine too busy) times the latency" in page
    assert not WRONG.search(re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL))
