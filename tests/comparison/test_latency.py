"""Latency on this machine: what does not run takes no other's, and a device's counts for more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.comparison import latency
from edgekit.comparison.compare import compare_pair
from edgekit.comparison.latency import compare_latency, compare_timings, time_here
from edgekit.comparison.record import LatencyComparison
from edgekit.comparison.side import Side
from edgekit.data.size import Size
from edgekit.errors import DeviceError, Unsupported
from edgekit.evaluation.measure import PROTOCOL
from edgekit.evaluation.timing import Candidate, MeasureResult, Timing
from edgekit.evidence import Evidence, Verdict
from tests.build_folder.samples import figure, sample_manifest
from tests.comparison.samples import side
from tests.devices.tiny import write_model

TIMING = Timing(0.0, 0.0, np.full((60, 3), 0.01))


@pytest.fixture
def sides(tmp_path: Path) -> list[Side]:
    (tmp_path / "model.onnx").write_bytes(b"m")
    manifest = sample_manifest(tmp_path / "model.onnx", "onnxruntime")
    return [side(letter, manifest=manifest) for letter in "ABC"]


def refuse(monkeypatch: pytest.MonkeyPatch, *broken: str, alone: bool = True) -> None:
    """Runs with one of these end in an error."""

    def measure(candidates: list[Candidate], *_: Any, **asked: Any) -> MeasureResult:
        names = {c.id for c in candidates}
        if names & {*broken} and (alone or len(names) > 1):
            raise (DeviceError if len(names) > 1 else Unsupported)("no such operator")
        return MeasureResult({"cpu": "a cpu"}, timings=dict.fromkeys(names, TIMING))

    monkeypatch.setattr(latency, "measure", measure)


def test_what_does_not_run_takes_no_others_latency(
    sides: list[Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "B")
    timed = time_here(sides, lambda *_: None)
    assert timed.failures == {"B": "B does not run here: no such operator"}
    ((broken,), (found,)) = (compare_latency(sides[0], other, timed) for other in sides[1:])
    assert broken.reason == "B does not run here: no such operator"
    assert (found.reason, found.where) == ("", "this machine (a cpu)")


@pytest.mark.parametrize(("broken", "alone"), [("BC", True), ("A", False)])
def test_where_no_two_run_together_the_reason_is_told(
    sides: list[Side], broken: str, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, *broken, alone=alone)
    timed = time_here(sides, lambda *_: None)
    assert not timed.timings
    for other in sides[1:]:
        assert "no such operator" in compare_latency(sides[0], other, timed)[0].reason


def test_files_of_two_image_sizes_are_interleaved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTOCOL, "seconds", 0.2)
    sides = []
    for letter, size in (("A", 8), ("B", 512)):
        (tmp_path / letter).mkdir()
        manifest = sample_manifest(
            write_model(tmp_path / letter / "model.onnx", size), "onnxruntime"
        )
        fed = manifest.preprocessing.model_copy(
            update={"image_size": Size.square(size), "inside_the_model": False}
        )
        manifest = manifest.model_copy(update={"preprocessing": fed})
        sides.append(side(letter, manifest=manifest, path=tmp_path / letter))
    timed = time_here(sides, lambda *_: None)
    (found,) = compare_latency(sides[0], sides[1], timed)
    assert not timed.failures
    assert found.evidence is Evidence.HOST
    # 4,096 times the pixels: whether the machine is busy or not.
    assert timed.timings["B"].typical > timed.timings["A"].typical


def told(evidence: Evidence, verdict: Verdict, reason: str = "") -> LatencyComparison:
    ratio = None if reason else figure(1.5, "ratio", 0.1).model_copy(update={"evidence": evidence})
    return LatencyComparison(
        where="", evidence=evidence, medians=(None, None), ratio=ratio, verdict=verdict,
        reason=reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (told(Evidence.MEASURED, Verdict.BETTER), None),
        (told(Evidence.MEASURED, Verdict.CANNOT_TELL), None),
        (told(Evidence.MEASURED, Verdict.WORSE), "1.50 times (1.40 to 1.60, measured)"),
        (told(Evidence.MEASURED, Verdict.CANNOT_TELL, "one process alone"),
         "1.50 times (1.40 to 1.60, host)"),
    ],
)  # fmt: skip
def test_this_machine_counts_only_where_no_device_tells(
    device: LatencyComparison, words: str | None
) -> None:
    here = told(Evidence.HOST, Verdict.WORSE)
    pair = compare_pair(side("A"), side("B"), None).model_copy(update={"latency": (device, here)})
    assert pair.worse().get("latency") == words


def test_a_busy_machine_tells_nothing() -> None:
    busy = Timing(0.0, 0.0, np.tile([0.01, 0.01, 1.0], (60, 1)))
    found = compare_timings({"A": busy, "B": busy}, ("A", "B"), "here")
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.reason
