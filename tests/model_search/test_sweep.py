"""A sweep builds every point of a grid once, and says of each what it is or why it failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.api import sweep
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.errors import ConfigError, EdgekitError, InputError
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement
from edgekit.model_search.sweep import SweepReport
from edgekit.model_search.sweep_page import render_sweep


class Counting(Silent):
    def __init__(self) -> None:
        self.ran: list[str] = []

    def started(self, step: Step) -> None:
        self.ran.append(step.id)


def run(world: Path, over: list[str], **options: object) -> tuple[SweepReport, list[str]]:
    seen = Counting()
    report = sweep(
        world / "recipe.yaml",
        world / "board.yaml",
        over,
        out=world / "out",
        store=world / "store",
        observer=seen,
    )
    return report, seen.ran


@pytest.fixture(scope="module")
def swept(world: Path) -> tuple[SweepReport, list[str]]:
    return run(world, ["model.arch=test_efficientnet,test_wit", "quantize.samples=8,6"])


def test_every_point_has_figures_or_a_reason(swept: tuple[SweepReport, list[str]]) -> None:
    report, _ = swept
    assert [point.settings["quantize.samples"] for point in report.points] == [8, 6, 8, 6]
    for good in report.points[:2]:
        assert good.reason == ""
        assert good.exit_code == 0
        assert good.top1 is not None
        assert good.top1.low is not None
        assert good.size is not None
    for bad in report.points[2:]:
        assert "no architecture 'test_wit'" in bad.reason
        assert (bad.exit_code, bad.status, bad.latency) == (2, None, None)
    assert report.open == 0
    with pytest.raises(EdgekitError, match="2 of 4 points") as caught:
        report.check()
    assert caught.value.exit_code == 2


def test_what_points_share_is_built_once(world: Path, swept: tuple[SweepReport, list[str]]) -> None:
    report, ran = swept
    assert ran.count("finetune") == 1
    assert len([step for step in ran if step.endswith("quantize")]) >= 2
    again, ran = run(world, ["model.arch=test_efficientnet,test_wit", "quantize.samples=8,6"])
    assert [step for step in ran if step != "latency"] == []
    assert [p.top1 for p in again.points] == [p.top1 for p in report.points]


def test_latencies_of_points_of_any_size_are_of_one_run(world: Path) -> None:
    report, _ = run(world, ["data.image_size=32,48"])
    first, second = report.points
    assert isinstance(first.latency, Measurement)
    assert first.latency.value == 1
    assert second.latency is not None
    assert second.latency.evidence is Evidence.HOST
    assert "interleaved" in second.latency.method
    assert "times the latency of the first point" in report.latency_is
    assert "nothing models made-up" in report.why_no_ms


def test_the_page_shows_no_invalid_figure(swept: tuple[SweepReport, list[str]]) -> None:
    report = swept[0].model_copy(deep=True)
    report.points[0].latency = InvalidMeasurement(
        reason="machine too busy", seen=77.25, unit="ratio", evidence=Evidence.HOST, method="m"
    )
    page = render_sweep(report)
    assert "machine too busy" in page
    assert "77.25" not in page
    for point in report.points:
        assert point.name in page


def test_a_value_or_a_field_that_cannot_be_is_refused_before_anything_runs(world: Path) -> None:
    with pytest.raises(ConfigError, match=r"with data\.image_size=7"):
        run(world, ["data.image_size=32,7"])
    with pytest.raises(InputError, match=r"no field 'data.imagesize'; did you mean"):
        run(world, ["data.imagesize=32"])
    with pytest.raises(InputError, match="nothing varies"):
        run(world, [])
