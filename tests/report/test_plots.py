"""Drawings show the report's figures, and nothing that is not valid."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.build_folder.report import Report
from edgekit.devices.bench.report import DeviceReport
from edgekit.evidence import InvalidityCause, Reason, Validity
from edgekit.models.training_curve import TrainingCurve
from edgekit.report.device import render_device_html
from edgekit.report.device_plots import device_plots
from edgekit.report.histogram import host_latencies
from edgekit.report.plots import RIGHT, candidates, training, waterfalls
from edgekit.report.render import Beside, render_html
from edgekit.report.svg import Drawing, Scale, around, digits_of
from tests.build_folder.samples import disturbed_report, figure, sample_report
from tests.comparison.samples import device_report
from tests.devices.tiny import tiny_bundle

FIGURES = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(FIGURES, st.floats(1e-3, 1e6))
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    scale = Scale(low, low + width, 0, 100)
    ticks = scale.ticks()
    assert len(ticks) <= 6
    assert all(low - 1e-6 * width <= tick <= low + (1 + 1e-6) * width for tick in ticks)
    shown = [f"{tick:.{digits_of(scale)}f}" for tick in ticks]
    assert len(set(shown)) == len(shown)


@given(st.lists(FIGURES, max_size=5))
def test_a_scale_holds_all_values(values: list[float]) -> None:
    low, high = around(values)
    assert low < high
    assert all(low <= value <= high for value in values)


def test_words_are_escaped() -> None:
    drawing = Drawing(10, 10, '"><script>')
    drawing.words(0, 0, "<b>&")
    markup = str(drawing.__html__())
    assert "&lt;b&gt;&amp;" in markup
    assert "<script>" not in markup


def test_each_stage_is_a_bar_from_the_one_before() -> None:
    accuracy, size, latency = waterfalls(sample_report(), "litert")
    assert accuracy.note
    assert not size.note
    assert latency.drawing.label == ("latency against float: source —, quantize 0.57, export 0.57")
    assert [part.count("<rect") for part in (str(latency.drawing.__html__()),)] == [3]


def test_only_a_float_model_is_once_its_own_latency() -> None:
    report = sample_report()
    compressed = [row for row in report.rows if not row.baseline]
    page = str(
        waterfalls(report.model_copy(update={"rows": compressed}), "litert")[2].drawing.__html__()
    )
    assert "1.00" not in page


def test_an_interval_that_ends_at_zero_lies_within_the_drawing() -> None:
    report = sample_report()
    for one in report.rows:
        update = {"top1": figure(-1.0, width=1.0)}
        one.validation = one.validation.model_copy(update=update)
    markup = str(waterfalls(report, "litert")[0].drawing.__html__())
    whisker = re.search(
        r'x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)" y2="[\d.]+" class="whisker"', markup
    )
    assert whisker
    assert float(whisker[2]) < RIGHT  # an end beyond the scale is drawn on its edge


def test_a_variant_of_one_row_has_no_stages_to_unfold() -> None:
    report = sample_report()
    rows = [row for row in report.rows if row.variant == "litert" or row.stage == "export"]
    page = render_html(report.model_copy(update={"rows": rows}))
    assert "litert, stage by stage" in page
    assert "onnxruntime, stage by stage" not in page


def test_what_is_not_valid_is_a_dash_in_drawings_too() -> None:
    markup = str(waterfalls(disturbed_report(), "litert")[2].drawing.__html__())
    assert markup.count("— (machine too busy)") == 2
    assert "0.06" not in markup
    assert candidates(disturbed_report()) is None


def test_candidates_share_one_latency() -> None:
    report = sample_report()
    scatter = candidates(report)
    assert scatter
    assert scatter.across == "times the latency of litert"
    assert "onnxruntime 88.5 % at 1.02" in scatter.drawing.label
    alone = report.model_copy(update={"choice": None})
    scatter = candidates(alone)
    assert scatter
    assert scatter.across == "times the latency of float on the same runtime"


def test_a_candidate_that_is_not_drawn_is_named() -> None:
    report = sample_report()
    assert report.choice
    ratios = {"litert": figure(1, "ratio")}
    choice = report.choice.model_copy(update={"ratios": ratios})
    scatter = candidates(report.model_copy(update={"choice": choice}))
    assert scatter
    assert scatter.missing == {"onnxruntime": "it was not in the run that compares them"}


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_a_training_curve_of_any_length(epochs: int) -> None:
    curve = TrainingCurve.of([1.0] * epochs, [50.0] * epochs, "validation", 10)
    assert "NaN" not in str(training(curve).__html__())
    page = render_html(sample_report().model_copy(update={"curves": {"finetune": curve}}))
    assert "How it was trained" in page


def test_the_times_of_a_variant_are_a_histogram_and_disturbed_ones_a_reason() -> None:
    report = sample_report()
    (first, *_) = host_latencies(report)
    assert (first.plot, first.reason) == (None, "this report keeps no single times")
    for one in report.rows:
        update = {"times_ms": (*np.linspace(0.9, 1.1, 289).tolist(), *[9.0] * 12)}
        latency = one.validation.latency.model_copy(update=update)
        one.validation = one.validation.model_copy(update={"latency": latency})
    read_again = Report.model_validate_json(report.model_dump_json())
    titles = {found.plot.title for found in host_latencies(read_again) if found.plot}
    assert titles == {"301 inferences, ms; 12 beyond 2.01 ms are not drawn"}
    assert 'aria-label="histogram of 301 inferences, ms"' in render_html(read_again)
    assert {found.plot for found in host_latencies(disturbed_report())} == {None}
    assert "litert</figcaption>— (machine too busy)" in render_html(disturbed_report())


def run_on_device(folder: Path) -> DeviceReport:
    return device_report(tiny_bundle(folder / "bundle"))


def test_a_run_on_a_device_is_drawn(tmp_path: Path) -> None:
    run = run_on_device(tmp_path)
    titles = [plot.title for plot in device_plots(run)]
    assert titles[0].startswith("40 inferences, ms")
    assert any("°C" in title for title in titles)
    assert any("MHz" in title for title in titles)
    assert all(title in render_device_html(run) for title in titles)


def test_of_a_run_that_is_no_result_only_the_cause_is_drawn(tmp_path: Path) -> None:
    hot = [Reason.invalid(InvalidityCause.THROTTLED, "too hot")]
    update = {"validity": Validity.INVALID, "reasons": hot}
    run = run_on_device(tmp_path).model_copy(update=update)
    titles = [plot.title for plot in device_plots(run)]
    assert [re.sub(r",.*", "", title) for title in titles] == [
        "temperature", "clock of the fastest core",
    ]  # fmt: skip


def test_drawings_of_the_device_stand_on_the_page(tmp_path: Path) -> None:
    run = run_on_device(tmp_path)
    page = render_html(_with_device(sample_report()), Beside(runs={"litert-export": run}))
    assert "40 inferences, ms" in page


def _with_device(report: Report) -> Report:
    from tests.report.test_summary import on_device

    report.rows[2].on_device = on_device(Validity.OK)
    return report
