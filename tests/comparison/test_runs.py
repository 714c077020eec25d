"""Runs on a device: at two times they are comparable where all but the model is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.comparison.accuracy import compare_accuracy
from edgekit.comparison.latency import TimedHere, compare_latency, compare_runs
from edgekit.comparison.side import of_device_report
from edgekit.devices.bundle.bundle import Bundle
from edgekit.evidence import Evidence, Measurement, Verdict
from tests.comparison.samples import device_report, side
from tests.devices.results import BOARD
from tests.devices.tiny import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("runs") / "bundle")


def test_processes_that_overlap_cannot_tell(bundle: Bundle) -> None:
    found = compare_runs(
        device_report(bundle, (0.010, 0.0103)), device_report(bundle, (0.0102, 0.0105))
    )
    assert isinstance(found.ratio, Measurement)
    assert found.ratio.low == pytest.approx(1.02 / 1.03)
    assert (found.verdict, found.evidence) == (Verdict.CANNOT_TELL, Evidence.MEASURED)


def test_processes_that_lie_apart_do(bundle: Bundle) -> None:
    fast, slow = device_report(bundle, (0.010, 0.0101)), device_report(bundle, (0.012, 0.0121))
    assert compare_runs(fast, slow).verdict is Verdict.WORSE
    assert compare_runs(slow, fast).verdict is Verdict.BETTER
    assert compare_runs(fast, slow).medians[1] == slow.median


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"board": BOARD | {"kernel": "6.12"}}, "differ in their device: kernel: 6.6, 6.12"),
        ({"seconds": (0.01,)}, "one process alone"),
    ],
)
def test_another_machine_or_too_little_gives_no_ratio(
    bundle: Bundle, changed: dict[str, Any], words: str
) -> None:
    found = compare_runs(device_report(bundle), device_report(bundle, **changed))
    assert words in found.reason
    assert (found.ratio, found.verdict) == (None, Verdict.CANNOT_TELL)


def test_a_run_that_is_no_result_shows_no_figure(bundle: Bundle) -> None:
    drifted = device_report(bundle, (0.010, 0.030))
    assert drifted.invalid()
    found = compare_runs(device_report(bundle), drifted)
    assert "is no result" in found.reason
    assert (found.ratio, found.medians) == (None, (None, None))


def test_an_emulator_tells_no_latency(bundle: Bundle) -> None:
    emulated = device_report(bundle, board=BOARD | {"emulator": "qemu 7.2"})
    assert "no latency" in compare_runs(device_report(bundle), emulated).reason


def test_runs_are_paired_on_the_images_of_their_slice(bundle: Bundle) -> None:
    report = device_report(bundle)
    answers = report.correctness.answers
    assert answers
    wrong = tuple((c + (i < 9)) % 3 for i, c in enumerate(answers.predictions.classes))
    said = answers.predictions.model_copy(update={"classes": wrong})
    found = report.correctness.model_copy(
        update={"answers": answers.model_copy(update={"predictions": said})}
    )
    worse = report.model_copy(update={"correctness": found})
    sides = [
        of_device_report(name, Path(name), run)
        for name, run in zip("AB", (report, worse), strict=True)
    ]
    accuracy = compare_accuracy(*sides)
    assert accuracy.change
    assert (accuracy.change.lost, accuracy.verdict) == (9, Verdict.WORSE)
    assert accuracy.change.drop.evidence is Evidence.MEASURED
    assert {image.name for image in accuracy.flipped} == {
        f"image {i} of the slice" for i in range(9)
    }


def test_a_run_that_is_no_result_has_no_accuracy(bundle: Bundle) -> None:
    bad = of_device_report("B", Path("b"), device_report(bundle, (0.010, 0.030)))
    accuracy = compare_accuracy(of_device_report("A", Path("a"), device_report(bundle)), bad)
    assert (accuracy.change, bad.record.top1) == (None, None)
    assert "the run is no result" in accuracy.reason


def test_scores_of_more_than_the_named_classes_have_no_answers(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    fields = json.loads((bundle.folder / "bundle.json").read_text())
    (bundle.folder / "bundle.json").write_text(json.dumps(fields | {"classes": ["red", "green"]}))
    labels = bundle.folder / "slice_labels.npy"
    np.save(labels, np.minimum(np.load(labels), 1))
    assert device_report(Bundle(bundle.folder)).correctness.answers is None


def test_a_device_against_a_build(bundle: Bundle) -> None:
    run = side("B", on_device=device_report(bundle))
    assert compare_latency(side("A"), run, None) == ()
    (found,) = compare_latency(side("A"), run, TimedHere())
    assert (found.verdict, found.evidence) == (Verdict.CANNOT_TELL, None)
