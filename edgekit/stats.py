"""Intervals and paired tests. Pure functions over numpy arrays.

What reports and comparisons need is worked out here, exactly; scipy is loaded by `paired_mean`
alone, which only a build calls (docs/decisions/0024-light-core.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, fsum, lgamma, log, log1p, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgekit.evidence import Verdict

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Standard deviations to either side of a normal distribution's mean that hold it."""


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def proportion(successes: int, trials: int) -> Interval:
    """Wilson's score interval of a share, as fractions of 1 (Wilson 1927).

    Twenty of twenty do not show that none ever fails:

    >>> found = proportion(20, 20)
    >>> f"{found.low:.2f} to {found.high:.2f}"
    '0.84 to 1.00'
    """
    share, z2 = successes / trials, Z**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = Z / (1 + z2 / trials) * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return Interval(
        0.0 if successes == 0 else centre - spread, 1.0 if successes == trials else centre + spread
    )


def exceeds(successes: int, trials: int, share: float) -> float:
    """The p-value of the exact binomial test that a true share is larger than `share` (one-sided).

    Args:
        share: a fraction of 1, as large as guessing reaches.

    Thirteen of twenty-four are more than one in three, twelve need not be:

    >>> f"{exceeds(13, 24, 1 / 3):.3f} {exceeds(12, 24, 1 / 3):.3f}"
    '0.028 0.068'
    """
    return at_most(trials - successes, trials, 1 - share)


def at_most(count: int, trials: int, share: float) -> float:
    """The probability of no more than `count` successes in `trials`, each of probability `share`.

    By logarithms, as 0.5 ** 2000 is no float; off by less than 1e-10 of itself up to 50,000 trials.

    >>> round(at_most(1, 3, 0.5), 9)
    0.5
    """
    if count >= trials or share <= 0:
        return 1.0
    if share >= 1 or count < 0:
        return 0.0
    odds = log(share) - log1p(-share)
    start = trials * log1p(-share) + lgamma(trials + 1)
    terms = (
        exp(start + i * odds - lgamma(i + 1) - lgamma(trials - i + 1)) for i in range(count + 1)
    )
    return min(1.0, fsum(terms))


@dataclass(frozen=True)
class PairedAccuracy:
    """Two classifiers on the same images. `drop` is in points: positive is a loss.

    `low` and `high` are the ends of its interval, `p_value` is McNemar's.
    """

    drop: float
    low: float
    high: float
    lost: int  # right before, wrong now
    won: int  # wrong before, right now
    p_value: float
    images: int

    @property
    def verdict(self) -> Verdict:
        """Worse or better only where both the interval and McNemar's test say so."""
        if self.p_value >= 1 - CONFIDENCE:
            return Verdict.CANNOT_TELL
        if self.low > 0:
            return Verdict.WORSE
        return Verdict.BETTER if self.high < 0 else Verdict.CANNOT_TELL

    @property
    def loses(self) -> bool:
        """Whether McNemar's exact test shows a loss, one-sided: five lost and none won do."""
        return self.lost > self.won and self.p_value / 2 < 1 - CONFIDENCE


def paired_accuracy(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> PairedAccuracy:
    """Compare which images two models classify rightly, image by image.

    The p-value is McNemar's exact test. The interval is Agresti and Min's (2005) adjusted
    Wald interval for paired proportions, which adds half an image to each of the four cells,
    so that it stays honest where the models never disagree: a bootstrap would then claim a
    width of zero.

    Args:
        before, after: bool, shape (images,), the same images in the same order.

    Raises:
        ValueError: the arrays are empty, or not of one shape (images,).

    Of a hundred images on which two models agree, the accuracies may still be two points apart:

    >>> right = np.ones(100, bool)
    >>> found = paired_accuracy(right, right)
    >>> print(f"{found.drop} ({found.low:.1f} to {found.high:.1f}), {found.verdict}")
    0.0 (-1.9 to 1.9), cannot tell

    Thirty lost and ten won of a thousand are enough to tell:

    >>> before, after = np.ones(1000, bool), np.ones(1000, bool)
    >>> before[:10] = after[-30:] = False
    >>> found = paired_accuracy(before, after)
    >>> print(f"{found.drop} ({found.low:.1f} to {found.high:.1f}), {found.verdict}")
    2.0 (0.7 to 3.2), worse
    """
    if before.shape != after.shape or before.ndim != 1 or not before.size:
        raise ValueError(f"paired arrays of equal length expected: {before.shape}, {after.shape}")
    n = before.size
    lost = int(np.sum(before & ~after))
    won = int(np.sum(~before & after))
    p = min(1.0, 2 * at_most(min(lost, won), lost + won, 0.5))  # McNemar's; even odds both ways
    b, c, total = lost + 0.5, won + 0.5, n + 2.0
    centre = (b - c) / total
    spread = np.sqrt((b + c) - (b - c) ** 2 / total) / total
    return PairedAccuracy(
        drop=100.0 * (lost - won) / n,
        low=100.0 * max(-1.0, float(centre - Z * spread)),
        high=100.0 * min(1.0, float(centre + Z * spread)),
        lost=lost,
        won=won,
        p_value=p,
        images=n,
    )


@dataclass(frozen=True)
class PairedMean:
    """A figure of two models on the same images, of which less is better. A positive `drop` is an
    improvement."""

    drop: float
    low: float
    high: float
    p_value: float

    @property
    def verdict(self) -> Verdict:
        """Better or worse only where both the interval and Wilcoxon's test say so."""
        if self.p_value >= 1 - CONFIDENCE:
            return Verdict.CANNOT_TELL
        if self.low > 0:
            return Verdict.BETTER
        return Verdict.WORSE if self.high < 0 else Verdict.CANNOT_TELL


def paired_mean(before: NDArray[np.float64], after: NDArray[np.float64]) -> PairedMean:
    """By how much a mean falls, compared image by image.

    The interval is Student's; the p-value is Wilcoxon's signed-rank test, which a few images with
    a large difference cannot sway.

    Args:
        before, after: shape (images,), at least two, the same images in the same order.

    Raises:
        ValueError: fewer than two images, or not of one shape (images,).
    """
    from scipy.stats import t, wilcoxon

    if before.shape != after.shape or before.ndim != 1 or before.size < 2:
        raise ValueError(f"paired arrays of equal length expected: {before.shape}, {after.shape}")
    drops = before - after
    mean = float(drops.mean())
    spread = float(
        drops.std(ddof=1) / np.sqrt(drops.size) * t.ppf((1 + CONFIDENCE) / 2, drops.size - 1)
    )
    p = float(wilcoxon(drops).pvalue) if np.any(drops) else 1.0
    return PairedMean(drop=mean, low=mean - spread, high=mean + spread, p_value=p)


def sqnr_db(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """Median over images of the signal-to-quantisation-noise ratio of the scores, in dB.

    The median, because the mean follows a few outliers.

    Args:
        reference, scores: shape (images, classes).
    """
    signal = np.sum(reference.astype(np.float64) ** 2, axis=1)
    noise = np.sum((reference.astype(np.float64) - scores) ** 2, axis=1)
    return float(np.median(decibels(signal, noise)))


def decibels(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratios of powers in dB, at most 140 either way: the resolution of float32 arithmetic.

    No noise counts as 140 dB.

    >>> decibels(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.01, 100.0, 0.0, 1.0]))
    array([  20.,  -20.,  140., -140.])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(noise == 0, 140.0, 10 * np.log10(signal / noise))
    return np.clip(ratio, -140.0, 140.0)
