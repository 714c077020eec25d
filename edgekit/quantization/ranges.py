"""Which values of an activation its 256 codes should span, chosen from what calibration saw.

One pass over the calibration images keeps a histogram of every tensor; each method then reads its
range from the histogram, so that trying another one costs no inference. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgekit.runtimes.contract.settings import CalibrationMethod

Range = tuple[float, float]
BINS = 4096
"""Of a histogram from -limit to limit."""
SAMPLED_VALUES = 16_384
"""Values of one tensor of one image that enter its histogram; extremes are taken of all."""
CODES = 256
SHRINKS = np.linspace(0.4, 1.0, 61)
"""Shares of each end that the mse method tries."""


@dataclass
class Histogram:
    """What one tensor held: counts of values in -limit..limit, and the extremes of each image."""

    limit: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    lows: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count one image's values, of any shape."""
        flat = values.ravel()
        self.lows.append(float(flat.min()))
        self.highs.append(float(flat.max()))
        largest = max(-self.lows[-1], self.highs[-1])
        self.limit = self.limit or largest
        while largest > self.limit > 0:  # pairs of bins become one, and no count is lost
            half = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.pad(half, BINS // 4)
            self.limit *= 2
        if self.limit:
            places = ((_sample(flat) / self.limit + 1) * (BINS / 2)).astype(np.int64)
            self.counts += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin, (BINS,)."""
        return np.asarray((np.arange(BINS) + 0.5) * (2 * self.limit / BINS) - self.limit)

    @property
    def extremes(self) -> Range:
        return min(self.lows), max(self.highs)


def _sample(flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """One value at random of each of SAMPLED_VALUES equal parts. A fixed stride would fall into
    step with the channels, and see the same few of them at every position."""
    return flat if flat.size <= SAMPLED_VALUES else flat[_sampled_places(flat.size)]


@lru_cache(maxsize=64)
def _sampled_places(size: int) -> NDArray[np.int64]:
    random = np.random.default_rng(size).random(SAMPLED_VALUES)
    places = ((np.arange(SAMPLED_VALUES) + random) * (size / SAMPLED_VALUES)).astype(np.int64)
    return np.minimum(places, size - 1)


def collect(tensors: Iterable[dict[str, NDArray[np.float32]]]) -> dict[str, Histogram]:
    """Histograms by tensor name, of the tensors of one image after the other. Of what is infinite
    in places, as the padding of a pool for the largest is, the finite values have a range."""
    found: dict[str, Histogram] = {}
    for image in tensors:
        for name, values in image.items():
            finite = values if np.isfinite(values).all() else values[np.isfinite(values)]
            if finite.size:
                found.setdefault(name, Histogram()).add(finite)
    return found


def choose(histogram: Histogram, method: CalibrationMethod, percentile: float = 99.99) -> Range:
    """The range that a method gives a tensor; zero is always inside, as codes must hold it.

    minmax: all that was seen. moving_average: the mean over images of their extremes.
    percentile: all but the outermost values, half of them at either end. entropy: the least
    divergence between the values and their codes (Migacz 2017). mse: the least mean squared
    error of codes, rounding and clipping together (Banner et al. 2019).

    One outlier in a thousand values takes most codes of the whole range for itself alone:

    >>> values = np.append(np.linspace(-1, 1, 999), 20).astype(np.float32)
    >>> seen = collect([{"x": values}])["x"]
    >>> choose(seen, "minmax")
    (-1.0, 20.0)
    >>> low, high = choose(seen, "percentile", 99)
    >>> low > -1.01 and high < 1.01
    True
    """
    low, high = METHODS[method](histogram, percentile)
    return min(low, 0.0), max(high, 0.0)


def _minmax(histogram: Histogram, percentile: float) -> Range:
    return histogram.extremes


def _moving_average(histogram: Histogram, percentile: float) -> Range:
    return float(np.mean(histogram.lows)), float(np.mean(histogram.highs))


def _percentile(histogram: Histogram, percentile: float) -> Range:
    below = np.cumsum(histogram.counts) / max(1, histogram.counts.sum())
    outside = (1 - percentile / 100) / 2
    ends = np.searchsorted(below, [outside, 1 - outside])
    low, high = histogram.centres[np.minimum(ends, BINS - 1)]
    return _inside((float(low), float(high)), histogram)


def _mse(histogram: Histogram, percentile: float) -> Range:
    low, high = histogram.extremes
    low, high = min(low, 0.0), max(high, 0.0)
    seen = histogram.counts > 0
    values, counts = histogram.centres[seen], histogram.counts[seen]

    def error(ends: Range) -> float:
        step = (ends[1] - ends[0]) / (CODES - 1)
        clipped = np.clip(values, *ends) - values
        # A value on the edge of the range is exact; inside, rounding is spread over one step.
        return float(np.sum(counts * (clipped**2 + step**2 / 12)))

    # The larger end first: it sets the step, and so decides what the other can gain.
    best = (low, high)
    for _ in range(2):
        best = min(((low, high * share) for share in SHRINKS), key=error, default=best)
        high = best[1]
        best = min(((low * share, high) for share in SHRINKS), key=error, default=best)
        low = best[0]
    return best


def _entropy(histogram: Histogram, percentile: float) -> Range:
    """Thresholds are tried from a sixteenth of the limit on, for both ends alike."""
    from scipy.stats import entropy

    counts = histogram.counts[BINS // 2 :] + histogram.counts[: BINS // 2][::-1]
    counts[0] = 0  # zeros have a code of their own, and there are so many that they hide the rest
    levels = CODES // 2 if histogram.extremes[0] < 0 else CODES
    best = (np.inf, len(counts))
    for bins in range(levels, len(counts) + 1, max(1, levels // 8)):
        kept = counts[:bins].astype(float)
        seen = kept > 0
        reference = kept.copy()
        reference[-1] += counts[bins:].sum()
        codes = np.arange(bins) * levels // bins
        width = np.bincount(codes, seen, levels)
        spread = np.bincount(codes, kept, levels) / np.maximum(width, 1)
        coded = np.where(seen, spread[codes], 0)
        if coded.sum():
            # An outlier that falls on an empty last bin would make the divergence infinite.
            divergence = entropy(reference + 1e-9, coded + 1e-9)
            best = min(best, (float(divergence), bins))
    threshold = histogram.limit * best[1] / len(counts)
    return _inside((-threshold, threshold), histogram)


def _inside(ends: Range, histogram: Histogram) -> Range:
    low, high = histogram.extremes
    return max(ends[0], low), min(ends[1], high)


METHODS: dict[CalibrationMethod, Callable[[Histogram, float], Range]] = {
    "minmax": _minmax,
    "moving_average": _moving_average,
    "percentile": _percentile,
    "entropy": _entropy,
    "mse": _mse,
}
