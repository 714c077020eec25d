"""Which candidate promises the most for its time: the expected gain in hypervolume, by latency.

Gaussian processes tell accuracy, latency and size of a candidate that was not looked at. With
latency and size at their medians, the gain is the expected improvement in accuracy (Jones et al.
1998) over all latencies and sizes that the candidate would dominate, which has a closed form. It is
divided by what looking at the candidate costs, as Snoek et al. 2012 do, for which its latency
stands.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.model_search.axes import Axes, is_ordered

Floats = NDArray[np.float64]
NOISE = (1e-3, 1.0)
"""The least and the most that repeats differ by, of figures that are scaled to a variance of 1."""
LENGTHS = (0.2, 10.0)
"""How far candidates are alike; from one end of a field to the other it is 1."""
TINY = 1e-9
"""In place of 0, by which nothing can be divided and of which there is no logarithm."""
INSIDE = 0.95
"""Of the worst latency and size that count."""
LEAST_HOPE = 0.05
"""Chance that a candidate can be built at all, however many like it could not."""


@dataclass(frozen=True)
class Bounds:
    """The limits on what an untrained network tells."""

    latency: float = np.inf
    size: float = np.inf


@dataclass(frozen=True)
class Told:
    """What came of candidates, a row for each; not a number where it is not known."""

    places: Floats
    """As `encoded`."""
    accuracy: Floats
    latency: Floats
    size: Floats
    failed: Floats
    """1 where it could not be built, else 0."""

    def with_pending(self, places: Floats) -> Told:
        """As if candidates that are under way came to what is expected of them."""
        accuracy = self._accuracy(places).mean
        known = np.isfinite(self.accuracy).any()
        return Told(
            np.concatenate([self.places, places]),
            np.concatenate([self.accuracy, accuracy if known else np.full(len(places), np.nan)]),
            np.concatenate([self.latency, np.exp(self._logarithm(self.latency, places).mean)]),
            np.concatenate([self.size, np.exp(self._logarithm(self.size, places).mean)]),
            np.concatenate([self.failed, np.zeros(len(places))]),
        )

    def gains(self, left: Floats, bounds: Bounds) -> Floats:
        """The logarithm of what each of the candidates that are left promises, without a unit.

        Args:
            left: as `encoded`, (m, columns).

        Returns:
            (m,)
        """
        from scipy.stats import norm

        latency, size = self._logarithm(self.latency, left), self._logarithm(self.size, left)
        median = np.exp(latency.mean)
        # Where the median lies beyond, the gain is that of the case that it is not.
        within = np.minimum(median, INSIDE * _end(self.latency, bounds.latency))
        small = np.minimum(np.exp(size.mean), INSIDE * _end(self.size, bounds.size))
        gain = self.hypervolume_gain(self._accuracy(left), within, small, bounds)
        chance = norm.logcdf(np.log(bounds.latency), latency.mean, latency.spread)
        chance = chance + norm.logcdf(np.log(bounds.size), size.mean, size.spread)
        built = np.log(np.clip(1 - _process(self.places, self.failed, left).mean, LEAST_HOPE, 1))
        # The start-up of a training counts as much as that of the fastest network.
        start_up = np.nanmin(self.latency) if np.isfinite(self.latency).any() else 1.0
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(gain) + chance + built - np.log(median + start_up))

    def hypervolume_gain(
        self, accuracy: Predicted, latency: Floats, size: Floats, bounds: Bounds
    ) -> Floats:
        """What is expected, up to the bounds, and without them to a tenth beyond the worst latency
        and size that were told; of accuracy above the worst.

        Args:
            accuracy, latency, size: of each candidate, (m,).

        Returns:
            (m,)
        """
        from scipy.stats import norm

        ends = _end(self.latency, bounds.latency), _end(self.size, bounds.size)
        inside = np.isfinite(self.accuracy) & (self.latency < ends[0]) & (self.size < ends[1])
        times, sizes = np.unique(self.latency[inside]), np.unique(self.size[inside])
        floor = np.nanmin(self.accuracy) if np.isfinite(self.accuracy).any() else 0.0
        # The best accuracy that is known at the latency and the size with which a cell begins.
        best = np.full((len(times) + 1, len(sizes) + 1), floor)
        for i in np.flatnonzero(inside):
            row = np.searchsorted(times, self.latency[i]) + 1
            column = np.searchsorted(sizes, self.size[i]) + 1
            best[row:, column:] = np.maximum(best[row:, column:], self.accuracy[i])
        spread = accuracy.spread[:, None, None]
        beyond = (accuracy.mean[:, None, None] - best) / spread
        improvement = spread * (beyond * norm.cdf(beyond) + norm.pdf(beyond))
        wide, high = _within_cells(latency, times, ends[0]), _within_cells(size, sizes, ends[1])
        return np.asarray(np.einsum("nij,ni,nj->n", improvement, wide, high))

    def _accuracy(self, places: Floats) -> Predicted:
        return _process(self.places, self.accuracy, places)

    def _logarithm(self, figures: Floats, places: Floats) -> Predicted:
        return _process(self.places, np.log(np.maximum(figures, TINY)), places)


@dataclass(frozen=True)
class Predicted:
    mean: Floats
    spread: Floats
    """Of a figure as it would be told, noise included; never 0."""


def encoded(places: Sequence[Sequence[int]], axes: Axes) -> Floats:
    """Fields as numbers: a place from 0 to 1 where values have an order, else all are as far from
    each other.

    Args:
        places: which value of each field, (n, fields).

    Returns:
        (n, columns)

    >>> encoded([(0, 1), (2, 0)], {"size": [32, 64, 96], "arch": ["a", "b"]}).round(1).tolist()
    [[0.0, 0.0, 0.7], [1.0, 0.7, 0.0]]
    """
    columns = []
    for chosen, values in zip(np.array(places).T, axes.values(), strict=True):
        if is_ordered(values):
            columns.append(chosen[:, None] / max(1, len(values) - 1))
        else:
            columns.append(np.eye(len(values))[chosen] / np.sqrt(2))
    return np.concatenate(columns, axis=1).astype(np.float64)


def _process(places: Floats, values: Floats, wanted: Floats) -> Predicted:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    known = np.isfinite(values)
    places, values = places[known], values[known]
    if not len(values):
        return Predicted(np.zeros(len(wanted)), np.ones(len(wanted)))
    if np.ptp(values) == 0:  # one alone, or equal ones, tell no spread
        spread = np.maximum(0.05 * np.abs(values[0]), 0.05)
        return Predicted(np.full(len(wanted), values[0]), np.full(len(wanted), spread))
    kernel = Matern(1.0, LENGTHS, nu=2.5) + WhiteKernel(0.1, NOISE)
    model: Any = GaussianProcessRegressor(kernel, normalize_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length that ends at its bound
        model.fit(places, values)
    mean, spread = model.predict(wanted, return_std=True)
    return Predicted(np.asarray(mean), np.maximum(spread, TINY))


def _end(told: Floats, bound: float) -> float:
    if np.isfinite(bound):
        return bound
    known = told[np.isfinite(told)]
    return 1.1 * float(known.max(initial=TINY)) if len(known) else 1.1


def _within_cells(begins: Floats, levels: Floats, end: float) -> Floats:
    """How much of each cell between levels lies beyond where each candidate begins, (n, cells)."""
    edges = np.array([-np.inf, *levels, end])
    low = np.maximum(begins[:, None], edges[None, :-1])
    return np.asarray(np.maximum(edges[None, 1:] - low, 0.0))
