"""A device's latency from a model's workload: the fit to its probes, its error, its limits (pure).

The time of a model is taken for a sum: of its multiply-accumulates by kind, of the bytes of its
weights (which caches may keep) and of its activations, and of its operators, each at a price that
the probes tell, by runtime, precision and threads. Prices cannot be negative. Least squares on the
relative error, so that a probe of one millisecond counts as much as one of a hundred. What the fit
is worth is told by leaving out one probe after the other and predicting it from the rest.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from edgekit.devices.agent_result import Count, Threads
from edgekit.devices.estimate.cycle_scale import CycleScale
from edgekit.devices.estimate.workload import Workload
from edgekit.errors import InputError
from edgekit.evaluation.run_result import Seconds
from edgekit.evidence import Evidence, Measurement

FEATURES = ("conv", "depthwise", "dense", "weights", "moved", "operators")
KINDS = {f"multiply-accumulates of kind {kind}": kind for kind in FEATURES[:3]}
EXTRAPOLATION = 2.0
"""Times the largest probe, and below the smallest, as far as the sum is trusted."""
COVERAGE = 0.9
"""Share of the left-out probes whose error the interval holds."""
MAX_ERROR = 0.5
"""Error from which on nothing is predicted: the interval would reach to twice the value."""
Vector = NDArray[np.float64]


class NoEstimate(InputError):
    """The calibration says nothing of such a model; the message says why."""


class ProbeSample(BaseModel):
    """A probe as it was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe: str
    workload: Workload
    seconds: float
    """Median of its runs."""


class Fit(BaseModel):
    """Prices for one runtime, precision and number of threads."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, ignored_types=(cached_property,)
    )

    runtime: str
    library: str
    """Distribution and version on the device."""
    precision: str
    threads: Threads
    measured: str
    """When, UTC: fits of earlier days are kept beside newer ones."""
    samples: tuple[ProbeSample, ...] = Field(min_length=1)
    seconds_per: dict[str, Seconds]
    """By feature: of a multiply-accumulate of each kind, of a byte, of an operator."""
    errors: dict[str, float] = Field(min_length=1)
    """By probe: predicted by the others against measured, less 1."""
    cycle_scale: CycleScale | None = None
    """Of estimates from counted instructions, with one thread; None where none were counted."""

    @field_validator("seconds_per")
    @classmethod
    def _of_all_features(cls, prices: dict[str, float]) -> dict[str, float]:
        if prices.keys() != {*FEATURES}:
            raise ValueError(f"prices of {', '.join(FEATURES)} expected")
        return prices

    @property
    def key(self) -> tuple[str, str, int]:
        return self.runtime, self.precision, self.threads

    @cached_property
    def median_error(self) -> float:
        return float(np.median(np.abs([*self.errors.values()])))

    @cached_property
    def error(self) -> float:
        """What `COVERAGE` of the left-out probes stay within."""
        errors = np.abs([*self.errors.values()])
        return float(np.percentile(errors, 100 * COVERAGE, method="higher"))

    def seconds(self, workload: Workload) -> float:
        return float(features(workload) @ np.array([self.seconds_per[f] for f in FEATURES]))


class LatencyModel(BaseModel):
    """What one device was found to take; kept as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    edgekit: str
    device: str
    address: str
    """Of the device then: another one may have its name by now."""
    cpu: str
    cores: Count
    kernel: str
    evidence: Literal[Evidence.MEASURED] = Evidence.MEASURED
    """Of the probes. What is predicted from them is estimated."""
    environment: dict[str, Any]
    warnings: tuple[str, ...]
    """Doubts about the runs that did not make them invalid."""
    fits: tuple[Fit, ...]


def features(workload: Workload) -> Vector:
    return np.array([getattr(workload, name) for name in FEATURES], float)


def fit(samples: tuple[ProbeSample, ...], **facts: Any) -> Fit:
    """
    Args:
        samples: more of them than features, or the error would be of no use.
        facts: the other fields of the fit.
    """
    assert len(samples) > len(FEATURES), f"{len(samples)} probes"
    rows = np.stack([features(sample.workload) for sample in samples])
    seconds = np.array([sample.seconds for sample in samples])
    errors = {}
    for left_out, sample in enumerate(samples):
        others = np.arange(len(samples)) != left_out
        predicted = rows[left_out] @ _prices(rows[others], seconds[others])
        errors[sample.probe] = float(predicted / seconds[left_out] - 1)
    return Fit(
        **facts,
        samples=samples,
        seconds_per=dict(zip(FEATURES, _prices(rows, seconds).tolist(), strict=True)),
        errors=errors,
    )


def _prices(rows: Vector, seconds: Vector) -> Vector:
    """Seconds per unit of each feature; rows have shape (probes, features)."""
    from scipy.optimize import nnls

    relative = rows / seconds[:, None]
    # Features differ by eight orders of magnitude: on one scale, or nnls would stop too early.
    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0] = 1.0
    found, _ = nnls(relative / scale, np.ones(len(rows)))
    prices: Vector = found / scale
    return prices


def predict(
    calibration: LatencyModel, workload: Workload, runtime: str, threads: int, library: str | None
) -> Measurement:
    """Milliseconds of a model on the calibrated device, between what nine in ten of the left-out
    probes were off.

    Args:
        library: what the device has now, distribution and version; None where that is not known.

    Raises:
        NoEstimate: nothing like it was among the probes.
    """
    chosen = _chosen(calibration, workload.precision, runtime, threads)
    _check_library(calibration, chosen, library)
    _check_range(chosen, workload)
    if chosen.error >= MAX_ERROR:
        raise NoEstimate(
            f"the calibration of {calibration.device} is of no use: of the probes left out, one in "
            f"ten was predicted more than {100 * chosen.error:.0f} % wrong",
            hint=f"when nothing else runs there: {command(calibration.device, runtime, threads)}",
        )
    value, count = 1e3 * chosen.seconds(workload), len(chosen.samples)
    return Measurement(
        value=value,
        unit="ms",
        evidence=Evidence.ESTIMATED,
        method=f"from {count} probe models measured on {calibration.device} with {chosen.library}, "
        f"{workload.precision}, {threads} thread{'s' * (threads > 1)}, {chosen.measured[:10]}; "
        f"each predicted by the others: off by {100 * chosen.median_error:.0f} % in the median, "
        f"nine in ten within {100 * chosen.error:.0f} %, which is the interval",
        low=value / (1 + chosen.error),
        high=value / (1 - chosen.error),
    )


def command(device: str, runtime: str, threads: int) -> str:
    return f"edgekit calibrate --device {device} --runtime {runtime} --threads {threads}"


def _chosen(calibration: LatencyModel, precision: str, runtime: str, threads: int) -> Fit:
    for one in calibration.fits:
        if one.key == (runtime, precision, threads):
            return one
    known = ", ".join(f"{r} {p} at {n}" for r, p, n in (one.key for one in calibration.fits))
    raise NoEstimate(
        f"{calibration.device} is not calibrated for {runtime} {precision} at {threads} threads, "
        f"only for {known}",
        hint=command(calibration.device, runtime, threads),
    )


def _check_library(calibration: LatencyModel, chosen: Fit, library: str | None) -> None:
    """Another version has other kernels."""
    if library and library != chosen.library:
        raise NoEstimate(
            f"{calibration.device} was calibrated with {chosen.library}, and has {library} now",
            hint=command(calibration.device, chosen.runtime, chosen.threads),
        )


def _check_range(chosen: Fit, workload: Workload) -> None:
    """A sum is no law: far from the probes it is not to be believed."""
    if workload.product:
        share = 100 * workload.product / workload.macs
        raise NoEstimate(
            f"{share:.0f} % of its multiply-accumulates are in products of attention, which no "
            "probe has",
            hint="measure it: edgekit bench",
        )
    seen = [_extent(sample.workload) for sample in chosen.samples]
    for what, here in _extent(workload).items():
        least, most = min(each[what] for each in seen), max(each[what] for each in seen)
        fewest = 0 if what in KINDS else least / EXTRAPOLATION  # a network may have none of a kind
        if not fewest <= here <= most * EXTRAPOLATION:
            raise NoEstimate(
                f"it has {here:.3g} {what}; the probes have {least:.3g} to {most:.3g}, and are "
                f"trusted from {fewest:.3g} to {most * EXTRAPOLATION:.3g}",
                hint="measure it: edgekit bench",
            )


def _extent(workload: Workload) -> dict[str, int]:
    kinds = {what: getattr(workload, kind) for what, kind in KINDS.items()}
    return {
        "multiply-accumulates": workload.macs,
        "bytes": workload.weights + workload.moved,
        "operators": workload.operators,
        **kinds,
    }


def merged(old: LatencyModel | None, new: LatencyModel) -> LatencyModel:
    """The new fits, and those of the old ones that speak of other runtimes, precisions or threads
    of the same device and the same library."""
    same = ("address", "cpu", "cores")
    if old is None or any(getattr(old, k) != getattr(new, k) for k in same):
        return new
    keys = {one.key for one in new.fits}
    libraries = {one.runtime: one.library for one in new.fits}
    kept = tuple(
        one
        for one in old.fits
        if one.key not in keys and libraries.get(one.runtime, one.library) == one.library
    )
    return new.model_copy(update={"fits": (*kept, *new.fits)})
