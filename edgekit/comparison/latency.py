"""Latency: timed anew in one interleaved run where the files are here, or as devices told it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.comparison.record import LatencyComparison
from edgekit.comparison.side import Side
from edgekit.data.size import Size
from edgekit.devices.bench.report import DeviceReport
from edgekit.engine.action import Progress
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, Unsupported
from edgekit.evaluation.measure import measure, undisturbed
from edgekit.evaluation.metrics import BUSY, latency_of, measurement, verdict_on_ratio
from edgekit.evaluation.timing import Candidate, Timing
from edgekit.evidence import Evidence, Measurement, Verdict
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.stats import Interval

IMAGES = 8
"""Random ones: they take as long as others."""
HERE = "this machine"
OF_THE_INPUT = {"input_source", "input_sha256"}


@dataclass
class TimedHere:
    """Timings by the sides' letters; those of one size of image are from one interleaved run."""

    timings: dict[str, Timing] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Why a side has none."""
    where: str = HERE


def time_here(sides: list[Side], progress: Progress) -> TimedHere:
    """Run the built files on this machine's CPU, all of one image size interleaved."""
    timed = TimedHere()
    by_size: dict[Size, list[Side]] = defaultdict(list)
    for side in sides:
        if side.manifest:
            by_size[side.manifest.preprocessing.image_size].append(side)
    for size, together in by_size.items():
        with _images(size) as images:
            _time_together(together, images, timed, progress)
    return timed


def _time_together(sides: list[Side], images: Path, timed: TimedHere, progress: Progress) -> None:
    """Put their timings into `timed`; what does not run takes no other's."""
    if len({side.record.sha256 for side in sides}) < 2:
        return
    try:
        candidates = [_candidate(side) for side in sides]
        outcome = undisturbed(lambda: measure(candidates, images, progress))
    except (DeviceError, Unsupported) as error:
        broken = dict(_broken(sides, images, progress))
        timed.failures |= broken or {side.record.letter: error.message for side in sides}
        left = [side for side in sides if side.record.letter not in timed.failures]
        _time_together(left, images, timed, progress)
        return
    timed.timings |= outcome.timings
    timed.where = f"{HERE} ({outcome.environment.get('cpu', 'its CPU')})"


def _broken(sides: list[Side], images: Path, progress: Progress) -> Iterator[tuple[str, str]]:
    """The letters of those that do not run by themselves, and why."""
    for side in sides:
        letter = side.record.letter
        try:
            measure([_candidate(side)], images, progress, score=(letter,), latency=False)
        except (DeviceError, Unsupported) as error:
            yield letter, f"{letter} does not run here: {error.message}"


def _candidate(side: Side) -> Candidate:
    assert side.manifest
    fed = side.manifest.preprocessing
    form = InputForm(
        dtype="uint8" if fed.inside_the_model else "float32", mean=fed.mean, std=fed.std
    )
    path = side.path / side.manifest.file
    return Candidate(side.record.letter, side.manifest.runtime, path, form)


@contextmanager
def _images(size: Size) -> Iterator[Path]:
    with temporary_folder() as folder:
        shape = (IMAGES, *size, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        np.save(folder / "images.npy", images)
        yield folder / "images.npy"


def compare_latency(
    first: Side, second: Side, timed: TimedHere | None
) -> tuple[LatencyComparison, ...]:
    """The second against the first, on each machine.

    Args:
        timed: None where nothing was to be timed anew.
    """
    found = []
    if first.on_device and second.on_device:
        found.append(compare_runs(first.on_device, second.on_device))
    if timed is None:
        return tuple(found)
    if first.manifest and second.manifest:
        found.append(_compare_here(first, second, timed))
    elif not found:
        run = next(side.record for side in (first, second) if side.manifest is None)
        found.append(
            _untold(HERE, f"{run.letter} ran on {run.where}, and the other is not known to have")
        )
    return tuple(found)


def _untold(
    where: str,
    reason: str,
    medians: tuple[Measurement | None, Measurement | None] = (None, None),
    evidence: Evidence | None = None,
) -> LatencyComparison:
    return LatencyComparison(
        where=where, evidence=evidence, medians=medians, ratio=None, verdict=Verdict.CANNOT_TELL,
        reason=reason,
    )  # fmt: skip


def _compare_here(first: Side, second: Side, timed: TimedHere) -> LatencyComparison:
    names = (first.record.letter, second.record.letter)
    assert first.manifest
    assert second.manifest
    sizes = [str(s.manifest.preprocessing.image_size) for s in (first, second) if s.manifest]
    if first.record.sha256 == second.record.sha256:
        return _untold(HERE, "it is the same file")
    if sizes[0] != sizes[1]:
        return _untold(
            HERE, f"one takes images of {sizes[0]} px, the other of {sizes[1]}: they are not "
            "interleaved"
        )  # fmt: skip
    if failed := [timed.failures[name] for name in names if name in timed.failures]:
        return _untold(HERE, failed[0])
    return compare_timings(timed.timings, names, timed.where)


def compare_timings(
    timings: Mapping[str, Timing], names: tuple[str, str], where: str
) -> LatencyComparison:
    """Of one interleaved run on this machine."""
    first, second = (timings[name] for name in names)
    found = latency_of(second, first, Evidence.HOST)
    assert found.verdict
    return LatencyComparison(
        where=where,
        evidence=Evidence.HOST,
        medians=(None, None),
        ratio=found.ratio,
        verdict=found.verdict,
        reason=BUSY if found.disturbed else "",
    )


def compare_runs(first: DeviceReport, second: DeviceReport) -> LatencyComparison:
    """Two runs, at two times, on one device: comparable where all but the model is the same, and
    told apart where no process of the one was as fast as one of the other."""
    where = " and ".join(dict.fromkeys((first.device.name, second.device.name)))
    if why := _why_no_figure(first, second):
        return _untold(where, why)
    medians = (first.median, second.median)
    if why := _why_incomparable(first, second):
        evidence = first.evidence if first.evidence is second.evidence else None
        return _untold(where, why, medians, evidence)
    before, after = (run.latency_us for run in (first, second))
    assert before
    assert after
    ends = Interval(
        min(after.medians) / max(before.medians), max(after.medians) / min(before.medians)
    )
    method = "two runs, not interleaved: all quotients of their processes' medians"
    processes = len(after.medians)
    ratio = measurement(after.p50 / before.p50, "ratio", second.evidence, method, processes, ends)
    return LatencyComparison(
        where=where,
        evidence=second.evidence,
        medians=medians,
        ratio=ratio,
        verdict=verdict_on_ratio(ratio),
        reason="",
    )


def _why_no_figure(*runs: DeviceReport) -> str:
    for run in runs:
        if invalid := run.invalid():
            return f"the run of {run.artifact.file} on {run.device.name} is no result: {invalid}"
        if run.latency_us is None:
            absent = run.not_available.get("latency_us", "it was not measured")
            return f"no latency of {run.artifact.file} on {run.device.name}: {absent}"
    return ""


def _why_incomparable(first: DeviceReport, second: DeviceReport) -> str:
    """Empty where device, threads and protocol are the same."""
    for what in ("device", "runtime", "protocol"):
        before, after = (_setting(run, what) for run in (first, second))
        other = [name for name, value in before.items() if value != after.get(name)]
        if other:
            told = "; ".join(f"{name}: {before[name]}, {after.get(name)}" for name in other[:3])
            return f"the two runs differ in their {what}: {told}"
    return _why_no_range(first, second)


def _why_no_range(first: DeviceReport, second: DeviceReport) -> str:
    """Empty where the medians of their processes tell how far two of them differ."""
    times = [run.latency_us for run in (first, second) if run.latency_us]
    if any(len(each.medians) < 2 for each in times):
        return "one process alone was timed: nothing says how far two of them would differ"
    if any(min(each.p50, *each.medians) <= 0 for each in times):
        return "a median is none: it is not above 0"
    return ""


def _setting(run: DeviceReport, what: str) -> dict[str, object]:
    """What must be the same for two latencies to be of one machine."""
    if what == "device":
        return run.device.model_dump(exclude={"address"})
    if what == "runtime":
        asked = run.runtime.delegate.asked if run.runtime.delegate else None
        return {"threads": run.runtime.threads, "delegate": asked}
    return run.protocol.model_dump(exclude=OF_THE_INPUT) if run.protocol else {}
