"""From scores and timings to figures: evidence, method and interval of each (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edgekit import stats
from edgekit.engine.artifact import Json
from edgekit.evaluation.columns import column
from edgekit.evaluation.environment import Environment
from edgekit.evaluation.latency_ratio import median_ratio, ratio_over_processes
from edgekit.evaluation.measure import HOST_THREADS
from edgekit.evaluation.timing import Timing
from edgekit.evidence import Evidence, InvalidityCause, InvalidMeasurement, Measurement, Verdict

BUSY = InvalidityCause.BUSY.value
"""The reason of a latency that was disturbed."""
Milliseconds = Annotated[float, Field(gt=0, lt=1e10, allow_inf_nan=False)]
MAX_TIMES = 1000
"""Single times of a file that a report keeps; the protocol makes 900."""


class AccuracyChange(BaseModel):
    """A stage against the float model, or a file against another, on the same images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drop: Measurement
    lost: int
    won: int
    mcnemar_p: float
    verdict: Verdict


class Latency(BaseModel):
    """Host latency. The ratio is the figure; the milliseconds are this machine's alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: Measurement | InvalidMeasurement | None
    """Against the float model on the same runtime and threads; None for the float model, invalid
    where either was disturbed."""
    verdict: Verdict | None
    threads: int
    runs: int
    load_ms: float
    first_ms: float
    p50_ms: float
    p90_ms: float
    spread_ms: float
    """Between the quartiles."""
    disturbed: bool = False
    """The machine was too busy: of this model or the float one, a tenth of the runs took more than
    twice the median. Their ratio tells how they were interrupted: it is invalid, and no verdict is
    given."""
    median: Measurement | InvalidMeasurement | None = None
    """Milliseconds on the target's own device; None where the host stood in for it, invalid where
    it was disturbed."""
    times_ms: Annotated[tuple[Milliseconds, ...], *column("{:.4g}".format)] = ()
    """Of single inferences, round by round; none of disturbed ones, and in older records."""


class Validation(BaseModel):
    """Everything that was measured of one artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top1: Measurement
    recall: dict[str, Measurement]
    agreement: Measurement
    sqnr_db: float
    change: AccuracyChange | None
    size: Measurement
    size_ratio: Measurement | None
    parameters: int
    macs: int
    latency: Latency
    environment: Environment


@dataclass(frozen=True)
class DeviceLatency:
    """What the target's own device says of latency."""

    median: Measurement | InvalidMeasurement
    """Milliseconds."""
    ratio: Measurement | None
    """Against the float model there."""


def gate_figures(
    validation: Validation, device: DeviceLatency | None = None
) -> dict[str, Measurement | InvalidMeasurement | None]:
    """What each gate is held against. Milliseconds need the target's own device, and latency a
    machine that was not disturbed; where there is a device, both are the device's."""
    latency = device or validation.latency
    return {
        "max_accuracy_drop": validation.change.drop if validation.change else None,
        "min_agreement": validation.agreement,
        "max_size_mb": validation.size,
        "max_size_ratio": validation.size_ratio,
        "max_latency_ratio": latency.ratio,
        "max_latency_ms": latency.median,
    }


def accuracy_of(
    scores: NDArray[np.float32],
    reference: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    baseline: bool,
    evidence: Evidence,
) -> Json:
    """The figures that come from scores of shape (images, classes)."""
    predicted, expected = scores.argmax(axis=1), reference.argmax(axis=1)
    right = predicted == labels
    same = int(np.sum(predicted == expected))
    present = [(i, name) for i, name in enumerate(classes) if np.any(labels == i)]
    return {
        "top1": share_of(int(right.sum()), len(labels), evidence),
        "recall": {
            name: share_of(int(right[labels == i].sum()), int(np.sum(labels == i)), evidence)
            for i, name in present
        },
        "agreement": share_of(same, len(labels), evidence),
        "sqnr_db": round(stats.sqnr_db(reference, scores), 1),
        "change": None if baseline else change_of(expected == labels, right, evidence),
    }


def change_of(
    before: NDArray[np.bool_], after: NDArray[np.bool_], evidence: Evidence
) -> AccuracyChange:
    """
    Args:
        before, after: which images are classified rightly, (images,), in the same order.
    """
    found = stats.paired_accuracy(before, after)
    method = "paired, Agresti-Min interval"
    return AccuracyChange(
        drop=measurement(found.drop, "points", evidence, method, found.images, found),
        lost=found.lost,
        won=found.won,
        mcnemar_p=found.p_value,
        verdict=found.verdict,
    )


def latency_of(timing: Timing, baseline: Timing | None, evidence: Evidence) -> Latency:
    runs = timing.rounds.ravel() * 1e3
    disturbed = timing.disturbed or (baseline is not None and baseline.disturbed)
    ratio = ratio_of(timing, baseline, evidence) if baseline else None
    p25, p50, p75, p90 = (float(p) for p in np.percentile(runs, (25, 50, 75, 90)))
    median = None
    if evidence is not Evidence.HOST:
        median = measurement(p50, "ms", evidence, "median of single inferences", runs.size)
    return Latency(
        ratio=ratio and unless_disturbed(ratio, disturbed),
        verdict=ratio and verdict_on_ratio(ratio, disturbed),
        threads=HOST_THREADS,
        runs=runs.size,
        load_ms=1e3 * timing.load,
        first_ms=1e3 * timing.first,
        p50_ms=p50,
        p90_ms=p90,
        spread_ms=p75 - p25,
        disturbed=disturbed,
        median=median and unless_disturbed(median, disturbed),
        times_ms=() if disturbed else _kept(runs),
    )


def _kept(runs: NDArray[np.float64]) -> tuple[float, ...]:
    """All, or every second, third, ... of very many; to four digits."""
    return tuple(float(f"{ms:.4g}") for ms in runs[:: -(-runs.size // MAX_TIMES)])


def verdict_on_ratio(ratio: Measurement, disturbed: bool = False) -> Verdict:
    """Of a latency against another."""
    if disturbed or ratio.low is None or ratio.high is None:
        return Verdict.CANNOT_TELL
    if ratio.low > 1:
        return Verdict.WORSE
    return Verdict.BETTER if ratio.high < 1 else Verdict.CANNOT_TELL


def unless_disturbed(figure: Measurement, disturbed: bool) -> Measurement | InvalidMeasurement:
    """The figure, or what is left of it where the machine was too busy."""
    return InvalidMeasurement.of(figure, BUSY) if disturbed else figure


def ratio_of(timing: Timing, baseline: Timing, evidence: Evidence) -> Measurement:
    rounds, processes = len(timing.rounds), len(timing.processes)
    if processes == 1:
        value, interval = median_ratio(timing.medians, baseline.medians)
        method = f"interleaved in one process, {rounds} rounds, paired block bootstrap"
    else:
        value, interval = ratio_over_processes(timing.processes, baseline.processes)
        method = f"interleaved in {processes} processes, {rounds} rounds, t interval over processes"
    return measurement(value, "ratio", evidence, method, rounds, interval)


def share_of(successes: int, trials: int, evidence: Evidence) -> Measurement:
    ends = stats.proportion(successes, trials)
    percent = stats.Interval(100 * ends.low, 100 * ends.high)
    value = 100 * successes / trials
    return measurement(value, "%", evidence, "Wilson interval", trials, percent)


def measurement(
    value: float,
    unit: str,
    evidence: Evidence,
    method: str,
    samples: int | None = None,
    interval: stats.Interval | stats.PairedAccuracy | None = None,
) -> Measurement:
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Measurement(
        value=value,
        unit=unit,
        evidence=evidence,
        method=method,
        samples=samples,
        low=low,
        high=high,
    )
