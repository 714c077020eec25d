"""Intervals and paired tests. Pure functions over numpy arrays; scipy does the arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.evidence import Verdict

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def proportion(successes: int, trials: int) -> Interval:
    """Wilson's score interval of a share, as fractions of 1 (Wilson 1927)."""
    from scipy.stats import binomtest

    ci = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(ci.low), float(ci.high))


@dataclass(frozen=True)
class PairedAccuracy:
    """Two classifiers on the same images. `drop` is in points: positive is a loss."""

    drop: float
    low: float
    high: float
    lost: int  # right before, wrong now
    won: int  # wrong before, right now
    p_value: float
    images: int

    @property
    def verdict(self) -> Verdict:
        if self.low > 0:
            return Verdict.WORSE
        return Verdict.BETTER if self.high < 0 else Verdict.CANNOT_TELL


def paired_accuracy(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> PairedAccuracy:
    """Compare which images two models classify rightly, image by image.

    The p-value is McNemar's exact test. The interval is Agresti and Min's (2005) adjusted
    Wald interval for paired proportions, which adds half an image to each of the four cells,
    so that it stays honest where the models never disagree: a bootstrap would then claim a
    width of zero.

    Args:
        before, after: bool, shape (images,), the same images in the same order.
    """
    from scipy.stats import binomtest, norm

    if before.shape != after.shape or before.ndim != 1 or not before.size:
        raise ValueError(f"paired arrays of equal length expected: {before.shape}, {after.shape}")
    n = before.size
    lost = int(np.sum(before & ~after))
    won = int(np.sum(~before & after))
    p = float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0
    b, c, total = lost + 0.5, won + 0.5, n + 2.0
    centre = (b - c) / total
    spread = np.sqrt((b + c) - (b - c) ** 2 / total) / total
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    return PairedAccuracy(
        drop=100.0 * (lost - won) / n,
        low=100.0 * max(-1.0, float(centre - z * spread)),
        high=100.0 * min(1.0, float(centre + z * spread)),
        lost=lost,
        won=won,
        p_value=p,
        images=n,
    )


def median_ratio(
    candidate: NDArray[np.float64], baseline: NDArray[np.float64], seed: int = 0
) -> tuple[float, Interval]:
    """Ratio of median latencies over interleaved rounds, with a paired bootstrap interval.

    Args:
        candidate, baseline: seconds, shape (rounds,); entry i of both was measured in round i,
            so that whatever slowed the machine then slowed both.
    """
    from scipy.stats import bootstrap

    def ratio(a: NDArray[Any], b: NDArray[Any], axis: int = -1) -> Any:
        return np.median(a, axis=axis) / np.median(b, axis=axis)

    result = bootstrap(
        (candidate, baseline),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=BOOTSTRAP_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    interval = Interval(
        float(result.confidence_interval.low), float(result.confidence_interval.high)
    )
    return float(ratio(candidate, baseline)), interval


def sqnr_db(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """Median over images of the signal-to-quantisation-noise ratio of the scores, in dB.

    The median, because the mean follows a few outliers. Infinite noise-free images count as
    140 dB, the resolution of float32 arithmetic.
    """
    signal = np.sum(reference.astype(np.float64) ** 2, axis=1)
    noise = np.sum((reference.astype(np.float64) - scores) ** 2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(noise == 0, 140.0, 10 * np.log10(signal / noise))
    return float(np.median(np.clip(ratio, -140.0, 140.0)))
