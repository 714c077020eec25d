"""Which candidate promises the most for its time: the expected gain in hypervolume, per second.

A Gaussian process tells the accuracy of a candidate that was not looked at, and how sure that is;
others tell its latency and its size, which lie close to their means. So the gain is the expected
improvement in accuracy (Jones et al. 1998) over all latencies and sizes that the candidate would
dominate, which has a closed form; divided by what looking at it costs, as Snoek et al. 2012 do.
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
LEAST = 1e-9


@dataclass(frozen=True)
class Known:
    """What was told, a row for each candidate; not a number where it is not known."""

    places: Floats
    """As `encoded`."""
    accuracy: Floats
    latency: Floats
    size: Floats
    excess: Floats
    """How far it lies beyond the limits; 0 where it holds them."""

    def with_pending(self, places: Floats) -> Known:
        """As if candidates that are under way came to what is expected of them."""
        if not len(places):
            return self
        accuracy, latency, size = _predicted(self, places)
        return Known(
            np.concatenate([self.places, places]),
            np.concatenate([self.accuracy, accuracy.mean]),
            np.concatenate([self.latency, np.exp(latency.mean)]),
            np.concatenate([self.size, np.exp(size.mean)]),
            np.concatenate([self.excess, np.zeros(len(places))]),
        )


@dataclass(frozen=True)
class Predicted:
    mean: Floats
    spread: Floats


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


def gains(known: Known, left: Floats) -> Floats:
    """The logarithm of what each of the candidates that are left promises, without a unit.

    Args:
        left: as `encoded`, (m, columns).

    Returns:
        (m,)
    """
    from scipy.stats import norm

    accuracy, logarithm, size = _predicted(known, left)
    latency = np.exp(logarithm.mean)
    gain = hypervolume_gain(known, accuracy, latency, np.exp(size.mean))
    excess = _process(known.places, known.excess, left)
    holds = norm.logcdf(0.0, excess.mean, np.maximum(excess.spread, LEAST))
    # A training's time goes with the network's latency. Each begins with a start-up, which takes
    # about as long as the training of the fastest network.
    start_up = np.nanmin(known.latency) if np.isfinite(known.latency).any() else 1.0
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(gain) + holds - np.log(latency + start_up))


def _predicted(known: Known, places: Floats) -> tuple[Predicted, Predicted, Predicted]:
    """Accuracy, and the logarithms of latency and size."""
    return (
        _process(known.places, known.accuracy, places),
        _process(known.places, np.log(np.maximum(known.latency, LEAST)), places),
        _process(known.places, np.log(np.maximum(known.size, LEAST)), places),
    )


def _process(places: Floats, values: Floats, wanted: Floats) -> Predicted:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    known = np.isfinite(values)
    places, values = places[known], values[known]
    if not len(values):
        return Predicted(np.zeros(len(wanted)), np.ones(len(wanted)))
    if np.ptp(values) == 0:
        return Predicted(np.full(len(wanted), values[0]), np.zeros(len(wanted)))
    kernel = Matern(1.0, LENGTHS, nu=2.5) + WhiteKernel(0.1, NOISE)
    model: Any = GaussianProcessRegressor(kernel, normalize_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length that ends at its bound
        model.fit(places, values)
    mean, spread = model.predict(wanted, return_std=True)
    return Predicted(np.asarray(mean), np.asarray(spread))


def hypervolume_gain(known: Known, accuracy: Predicted, latency: Floats, size: Floats) -> Floats:
    """What is expected, up to a tenth beyond the worst that was told.

    Args:
        accuracy, latency, size: of each candidate, (m,).

    Returns:
        (m,)
    """
    from scipy.stats import norm

    whole = np.isfinite(known.accuracy) & np.isfinite(known.latency) & np.isfinite(known.size)
    times, sizes = np.unique(known.latency[whole]), np.unique(known.size[whole])
    floor = known.accuracy[whole].min() if whole.any() else 0.0
    # The best accuracy that is known at the latency and the size with which each cell begins.
    best = np.full((len(times) + 1, len(sizes) + 1), floor)
    for i in np.flatnonzero(whole & (known.excess <= 0)):
        row = np.searchsorted(times, known.latency[i]) + 1
        column = np.searchsorted(sizes, known.size[i]) + 1
        best[row:, column:] = np.maximum(best[row:, column:], known.accuracy[i])
    spread = np.maximum(accuracy.spread, LEAST)[:, None, None]
    beyond = (accuracy.mean[:, None, None] - best) / spread
    improvement = spread * (beyond * norm.cdf(beyond) + norm.pdf(beyond))
    wide = _within_cells(latency, times, _worst(known.latency))
    high = _within_cells(size, sizes, _worst(known.size))
    return np.asarray(np.einsum("nij,ni,nj->n", improvement, wide, high))


def _worst(told: Floats) -> float:
    known = told[np.isfinite(told)]
    return 1.1 * float(known.max(initial=LEAST)) if len(known) else 1.1


def _within_cells(begins: Floats, levels: Floats, end: float) -> Floats:
    """How much of each cell between levels lies beyond where each candidate begins, (n, cells)."""
    edges = np.array([-np.inf, *levels, end])
    return np.maximum(edges[None, 1:] - np.maximum(begins[:, None], edges[None, :-1]), 0.0)
