"""Latency: timed anew in one interleaved run where the files are here, or as devices told it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.build_folder.manifest import Manifest
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
    """Timings by the sides' letters, of one interleaved run."""

    timings: dict[str, Timing] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Why a side has none."""
    where: str = HERE


def time_here(sides: list[Side], progress: Progress) -> TimedHere:
    """Run the built files on this machine's CPU, interleaved, each with images of its own size."""
    timed = TimedHere()
    with temporary_folder() as folder:
        built = [(side, side.manifest) for side in sides if side.manifest]
        if len({side.record.sha256 for side, _ in built}) > 1:
            together = {s.record.letter: _candidate(s, manifest, folder) for s, manifest in built}
            _time_together(together, timed, progress)
    return timed


def _time_together(candidates: dict[str, Candidate], timed: TimedHere, progress: Progress) -> None:
    """Put their timings into `timed`; what does not run takes no other's."""
    if len(candidates) < 2:
        return
    together = [*candidates.values()]
    assert together[0].images
    images = together[0].images
    try:
        outcome = undisturbed(lambda: measure(together, images, progress))
    except (DeviceError, Unsupported) as error:
        broken = dict(_broken(together, progress))
        timed.failures |= broken or dict.fromkeys(candidates, error.message)
        left = {name: one for name, one in candidates.items() if name not in timed.failures}
        _time_together(left, timed, progress)
        return
    timed.timings |= outcome.timings
    timed.where = f"{HERE} ({outcome.environment.get('cpu', 'its CPU')})"


def _broken(candidates: list[Candidate], progress: Progress) -> Iterator[tuple[str, str]]:
    """The letters of those that do not run by themselves, and why."""
    for one in candidates:
        assert one.images
        try:
            measure([one], one.images, progress, score=(one.id,), latency=False)
        except (DeviceError, Unsupported) as error:
            yield one.id, f"{one.id} does not run here: {error.message}"


def _candidate(side: Side, manifest: Manifest, folder: Path) -> Candidate:
    fed = manifest.preprocessing
    form = InputForm(
        dtype="uint8" if fed.inside_the_model else "float32", mean=fed.mean, std=fed.std
    )
    path = side.path / manifest.file
    images = _images(fed.image_size, folder)
    return Candidate(side.record.letter, manifest.runtime, path, form, images=images)


def _images(size: Size, folder: Path) -> Path:
    path = folder / f"{size}.npy"
    if not path.exists():
        shape = (IMAGES, *size, 3)
        np.save(path, np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    return path


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
    if first.record.sha256 == second.record.sha256:
        return _untold(HERE, "it is the same file")
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
