"""How quantisation noise runs through a graph, and where the noise of its end arose.

A tensor's noise has three sources: its own codes (rounding and clipping, measured on the float
values); the codes of its maker's weights, as inputs that are noise themselves would show them; and
what came in with the maker's inputs, amplified or damped: a division by small codes amplifies it, a
mean damps it. Of several inputs each brings its part: in additions and concatenations by the power
of its noise, anywhere else by its ratio of noise to signal.

From the scores back, the same shares say how much of the scores' noise arose at each operator. This
is layer-wise relevance propagation (Bach et al. 2015), of noise in place of evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit import stats
from edgekit.inspection.tensor_stats import TensorStats
from edgekit.runtimes.contract.description import Activation
from edgekit.runtimes.contract.operator_kinds import JOINS, MOVES, SUMS

LAYER_GAIN = 2.0
"""How many times a layer with weights amplifies the noise of its input at most; MobileNets and
EfficientNets do so by 1.2 to 1.4. What is beyond is laid to its weights."""


@dataclass(frozen=True)
class Share:
    """The noise of one tensor by its sources, each as noise over signal."""

    own: float
    weights: float
    inherited: float

    @property
    def total(self) -> float:
        return self.own + self.weights + self.inherited


class NoiseFlow:
    """How noise runs through the tensors that both files have."""

    def __init__(
        self,
        made: dict[str, Activation],
        tensor_stats: dict[str, TensorStats],
        weights: dict[str, float],
    ) -> None:
        self.made = made
        self.tensor_stats = tensor_stats
        self.weights = weights
        """Noise over signal of the weights of each layer, as far as it is known."""
        self.ratios = {name: linear(each.sqnr_db) for name, each in tensor_stats.items()}
        self.makers = {name: self._maker(name) for name in tensor_stats}
        self.noise_from_inputs = {name: self._noise_from_inputs(name) for name in tensor_stats}
        self.shares = {name: self._share(name) for name in tensor_stats}

    def _maker(self, name: str) -> Maker:
        """What lies between a tensor and the nearest ones before it that both files have."""
        sources, layers, kinds, waiting = [], set(), set(), [name]
        while waiting:
            activation = self.made[waiting.pop()]
            kinds.add(activation.kind.upper())
            if activation.has_weights:
                layers.add(activation.operator)
            sources += [source for source in activation.inputs if source in self.tensor_stats]
            waiting += [
                i for i in activation.inputs if i in self.made and i not in self.tensor_stats
            ]
        noise = sum(self.weights.get(layer, 0.0) for layer in layers)
        known = layers <= self.weights.keys()
        return Maker(tuple(dict.fromkeys(sources)), noise if layers else None, known, kinds)

    def _noise_from_inputs(self, name: str) -> dict[str, float]:
        """Noise over signal that each input brings, if nothing is added."""
        here, maker, found = self.tensor_stats[name], self.makers[name], {}
        for source in maker.sources:
            before, noise = self.tensor_stats[source], self.ratios[source]
            if maker.sums:
                # A smaller summand is repeated; a part of a concatenation is not.
                times = max(1.0, here.size / before.size) if maker.kinds & SUMS else 1.0
                added = stats.decibels(here.signal, before.noise * times)
                noise = linear(float(np.median(added)))
            found[source] = noise
        return found

    def _share(self, name: str) -> Share:
        """What its codes and weights explain of a tensor's noise; the rest came in."""
        total, codes_db, maker = (
            self.ratios[name],
            self.tensor_stats[name].codes_db,
            self.makers[name],
        )
        if not maker.sources:
            return Share(total, 0.0, 0.0)
        own = 0.0 if codes_db is None or self._keeps_codes(name) else linear(codes_db)
        weights = maker.weights or 0.0
        fits = min(1.0, total / (own + weights)) if own + weights else 1.0
        own, weights = own * fits, weights * fits
        inherited = max(total - own - weights, 0.0)
        if maker.weights is not None:
            # Weights that answer to what their inputs have in common make more noise than that.
            inherited = min(inherited, LAYER_GAIN * sum(self.noise_from_inputs[name].values()))
            weights = max(total - own - inherited, 0.0)
        return Share(own, weights, inherited)

    def _keeps_codes(self, name: str) -> bool:
        """Whether a tensor holds codes of its source, which were rounded there."""
        maker = self.makers[name]
        grids = [_grid(self.tensor_stats[each].codes) for each in (name, *maker.sources)]
        return maker.kinds <= MOVES and len(set(grids)) == 1

    def share_through(self) -> dict[str, float]:
        """For each tensor the share of the scores' noise that came through it."""
        found = dict.fromkeys(self.tensor_stats, 0.0)
        found[[*self.tensor_stats][-1]] = 1.0
        for name in reversed(self.tensor_stats):
            share, arriving = self.shares[name], self.noise_from_inputs[name]
            whole = share.total * sum(arriving.values())
            if whole:
                for source, part in arriving.items():
                    found[source] += found[name] * share.inherited * part / whole
        return found


@dataclass(frozen=True)
class Maker:
    """The operators that made a tensor of others, as one."""

    sources: tuple[str, ...]
    weights: float | None
    """Noise over signal that weights among them add; None where there are no weights."""
    known: bool
    """The noise of all their weights is known."""
    kinds: set[str]

    @property
    def sums(self) -> bool:
        return self.weights is None and bool(self.kinds & (SUMS | JOINS))


def _grid(codes: Activation) -> tuple[float | None, ...]:
    return codes.low, codes.high, codes.step


def linear(decibels: float) -> float:
    return float(10 ** (-decibels / 10))


def ratio(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Noise over signal of the same weights in two files; 0 where they are not the same."""
    power = float(np.square(before).sum())
    if before.shape != after.shape or not power:
        return 0.0
    return float(np.square(after - before).sum()) / power


def decibels(ratio: float) -> float:
    return min(140.0, -10 * math.log10(ratio)) if ratio > 0 else 140.0
