"""Intervals and paired tests. Pure functions over numpy arrays.

What reports and comparisons need is worked out here, exactly; scipy is loaded by `paired_mean`
alone, which only a build calls (docs/decisions/0020-light-core.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, exp, fsum, lgamma, log, log1p, pi, sin, sqrt, tan
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgekit.evidence import Verdict

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Standard deviations to either side of a normal distribution's mean that hold it."""
BOOTSTRAP_RESAMPLES = 2000
BLOCK = 10
"""Consecutive rounds that are resampled together. Where neighbours correlate by 0.7, rounds that
lie so far apart correlate by 0.7^10 = 0.03: most of what lasts for some rounds stays in a block."""


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


def median_ratio(
    candidate: NDArray[np.float64],
    baseline: NDArray[np.float64],
    seed: int = 0,
    block: int = BLOCK,
) -> tuple[float, Interval]:
    """Ratio of median latencies over interleaved rounds, with a paired bootstrap interval.

    Whatever slows the machine lasts for some rounds, so that neighbours resemble each other and
    tell less than as many independent rounds would. Resampling them one by one would claim too
    narrow an interval; the circular block bootstrap (Politis and Romano 1992) takes `block`
    consecutive ones together, and the first round follows the last. It is still a little narrow:
    of 300 simulated runs of equal models 90 % held the ratio 1 with 60 independent rounds, and
    85 % where neighbours correlate by 0.7; with 300 rounds 92 and 90 %.

    Args:
        candidate, baseline: seconds, shape (rounds,); entry i of both was measured in round i,
            so that whatever slowed the machine then slowed both.

    Returns:
        The ratio of all rounds, and the percentile interval of the resampled ratios.

    A machine at half its speed in every second round moves both medians, and not their ratio:

    >>> baseline = np.array([1.0, 2.0] * 30)
    >>> ratio, interval = median_ratio(0.5 * baseline, baseline)
    >>> ratio, interval.low, interval.high
    (0.5, 0.5, 0.5)
    """
    rounds = len(candidate)
    # As many blocks as cover all rounds; the last one is cut, as the spread of a median depends on
    # how many rounds it is taken of.
    shape = (BOOTSTRAP_RESAMPLES, -(-rounds // block), 1)
    starts = np.random.default_rng(seed).integers(0, rounds, shape)
    # Circular: without the modulo the first and last rounds would stand in fewer blocks than the
    # others, and a disturbance at either end would count too little.
    drawn = ((starts + np.arange(block)) % rounds).reshape(BOOTSTRAP_RESAMPLES, -1)[:, :rounds]
    # The same rounds of both: resampled apart, the noise that they share would not cancel out.
    ratios = np.median(candidate[drawn], axis=1) / np.median(baseline[drawn], axis=1)
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(np.median(candidate) / np.median(baseline)), Interval(float(low), float(high))


def ratio_over_processes(
    candidate: Sequence[NDArray[np.float64]], baseline: Sequence[NDArray[np.float64]]
) -> tuple[float, Interval]:
    """Ratio of median latencies that were measured in several processes, each interleaved.

    Where memory comes to lie changes from one process to the next, and with it the ratio. However
    many rounds a process has, it is one sample of that, so that the interval is Student's over the
    processes' own log ratios: the summary of each cluster is what counts (Kalibera and Jones 2013,
    Rigorous Benchmarking in Reasonable Time).

    Args:
        candidate, baseline: seconds, shape (rounds,) for each process, two of them at least.

    Returns:
        The geometric mean of the processes' ratios, and its interval.

    >>> ratio, interval = ratio_over_processes([np.array([1.0]), np.array([2.0])], 2 * [np.ones(1)])
    >>> round(ratio, 3), interval.low < 1.0 < interval.high
    (1.414, True)
    """
    pairs = zip(candidate, baseline, strict=True)
    logs = np.log([np.median(own) / np.median(other) for own, other in pairs])
    mean = float(logs.mean())
    spread = logs.std(ddof=1) / np.sqrt(logs.size) * students_t(logs.size - 1)
    return float(np.exp(mean)), Interval(float(np.exp(mean - spread)), float(np.exp(mean + spread)))


def students_t(freedom: int) -> float:
    """Standard errors to either side that hold a mean, where the spread is estimated too.

    The integral is Abramowitz and Stegun's 26.7.3 and 26.7.4, found by halving.

    Args:
        freedom: degrees of freedom, 1 at least.

    >>> [round(students_t(n), 3) for n in (1, 2, 4, 9)]
    [12.706, 4.303, 2.776, 2.262]
    """
    low, high = 0.0, pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        terms, odd = [cos(angle) if freedom % 2 else 1.0], freedom % 2
        for n in range(2 + odd, freedom - 1, 2):
            terms.append(terms[-1] * cos(angle) ** 2 * (n - 1) / n)
        held = sin(angle) * fsum(terms) if freedom > 1 else 0.0
        held = 2 / pi * (angle + held) if odd else held
        low, high = (angle, high) if held < CONFIDENCE else (low, angle)
    return sqrt(freedom) * tan(low)


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
