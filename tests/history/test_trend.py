"""Each row against the one before: a verdict where the same images judged both."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.build_folder.headline import latency_to_tell
from edgekit.evidence import InvalidMeasurement, Measurement, Validity, Verdict
from edgekit.history.recording import record_device_report
from edgekit.history.trend import trends_of
from edgekit.report.device import write_device_report
from tests.comparison.samples import device_report
from tests.devices.tiny import tiny_bundle
from tests.history.samples import disturbed, history_of, recorded, report_of
from tests.report.test_summary import on_device


def test_a_row_that_is_worse_is_called_so(tmp_path: Path) -> None:
    reports = [
        report_of(tmp_path / f"{i}/photos/rpi", wrong) for i, wrong in enumerate([(), range(8)])
    ]
    (trend,) = trends_of(history_of(tmp_path, *reports))
    first, second = trend.rows
    assert first.before is None
    assert second.before
    assert second.before.verdict is Verdict.WORSE
    assert second.before.change
    assert (second.before.change.lost, second.before.change.won) == (8, 0)
    assert str(trend) == "photos for rpi"


def test_the_same_again_is_no_verdict_and_no_reason(tmp_path: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    (trend,) = trends_of(history_of(tmp_path, report, report))
    before = trend.rows[1].before
    assert before
    assert (before.verdict, before.reason) == (Verdict.CANNOT_TELL, "")
    assert before.change


def test_other_images_cannot_tell(tmp_path: Path) -> None:
    reports = [report_of(tmp_path / f"{n}/photos/rpi", images=range(n)) for n in (40, 30)]
    (trend,) = trends_of(history_of(tmp_path, *reports))
    before = trend.rows[1].before
    assert before
    assert (before.verdict, before.change) == (Verdict.CANNOT_TELL, None)
    assert "30 the same, 10 of the first alone" in before.reason


def test_a_build_without_answers_cannot_tell(tmp_path: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    history = history_of(tmp_path)
    history.add([recorded(report)._replace(answers=None), recorded(report)])
    (trend,) = trends_of(history)
    before = trend.rows[1].before
    assert before
    assert "no answers to labelled images" in before.reason


def test_targets_stand_apart_and_the_newest_last(tmp_path: Path) -> None:
    reports = {name: report_of(tmp_path / f"photos/{name}") for name in ("rpi", "x86-cpu")}
    order = [reports[name] for name in ("rpi", "x86-cpu", "rpi")]
    history = history_of(tmp_path, *order)
    assert [trend.target for trend in trends_of(history)] == ["x86-cpu", "rpi"]
    assert [trend.target for trend in trends_of(history, target="x86-cpu")] == ["x86-cpu"]


def test_a_limit_leaves_older_rows_out_and_what_the_first_is_held_against(tmp_path: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    history = history_of(tmp_path, *[report] * 4)
    (trend,) = trends_of(history, limit=2)
    assert (len(trend.rows), trend.older) == (2, 2)
    assert trend.rows[0].before
    assert [row.entry for row in trend.rows] == history.entries()[2:]


def test_a_disturbed_latency_is_no_figure(tmp_path: Path) -> None:
    (trend,) = trends_of(history_of(tmp_path, disturbed(report_of(tmp_path / "photos/rpi"))))
    ratio = trend.rows[0].entry.latency_ratio
    assert isinstance(ratio, InvalidMeasurement)
    assert ratio.reason == "machine too busy"


def test_runs_on_a_device_are_a_trend_of_their_own(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", beside_float=True)
    good, drifted = device_report(bundle), device_report(bundle, (0.010, 0.030))
    for name, report in (("good", good), ("drifted", drifted)):
        write_device_report(report, tmp_path / name)
        path = tmp_path / name / "device-report.json"
        assert record_device_report(tmp_path, report, path) == ""
    (trend,) = trends_of(history_of(tmp_path))
    name = f"bundle-means.onnx {good.artifact.sha256[:8]} on pi5"
    assert (trend.kind, str(trend)) == ("device report", name)
    first, second = (row.entry for row in trend.rows)
    assert isinstance(first.latency_ratio, Measurement)
    assert isinstance(second.latency_ratio, InvalidMeasurement)
    assert first.median == good.median
    assert isinstance(second.median, InvalidMeasurement)
    assert (first.status, second.status, second.top1) == ("ok", "invalid", None)
    assert trend.rows[1].before
    assert trend.rows[1].before.verdict is Verdict.CANNOT_TELL


def test_other_files_of_the_same_name_are_other_trends(tmp_path: Path) -> None:
    report = device_report(tiny_bundle(tmp_path / "bundle"))
    for digest in ("a" * 64, "b" * 64, "a" * 64):
        report.artifact = report.artifact.model_copy(update={"sha256": digest})
        record_device_report(tmp_path, report, tmp_path / "device-report.json")
    trends = trends_of(history_of(tmp_path))
    assert [len(trend.rows) for trend in trends] == [1, 2]
    assert len({str(trend) for trend in trends}) == 2


@pytest.mark.parametrize("validity", [Validity.OK, Validity.INVALID])
def test_history_and_report_tell_the_same_latency(tmp_path: Path, validity: Validity) -> None:
    report = report_of(tmp_path / "photos/rpi")
    row = report.rows[-1]
    run = row.on_device = on_device(validity)
    entry = recorded(report).entry
    assert entry.latency_ratio == latency_to_tell(report, row).ratio
    is_result = validity is Validity.OK
    assert entry.latency_ratio == (run.ratio if is_result else row.validation.latency.ratio)
    assert isinstance(entry.median, Measurement) is is_result


def test_a_device_report_is_of_the_build_that_made_its_model(tmp_path: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    history_of(tmp_path, report)
    ran = device_report(tiny_bundle(tmp_path / "bundle"))
    lineage = [{"id": "export", "digest": report.rows[-1].artifact}]
    ran.artifact = ran.artifact.model_copy(update={"lineage": lineage})
    record_device_report(tmp_path, ran, tmp_path / "device-report.json")
    entry = history_of(tmp_path).entries("photos", "rpi")[-1]
    assert (entry.kind, entry.device) == ("device report", "pi5")
    assert entry.commit
