"""Which channels to cut: greedily the slice that costs least accuracy for what it saves (pure).

A slice is as many channels as the kernels work on at once. The least important channels of a group
make its first slice; a group is never made narrower than one slice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.pruning.cost import Cost
from edgekit.pruning.network import Network


@dataclass(frozen=True)
class PruningPlan:
    """Widths that keep within a budget, and the channels whose loss gets there."""

    widths: tuple[int, ...]
    dropped: dict[str, tuple[int, ...]]
    """By the group's name, its channels in ascending order."""
    share: float
    """Of the dense network's cost, as the cost model has it."""
    reached: bool
    """Whether the budget holds; if not, nothing is left to cut."""


def plan_cut(
    network: Network,
    cost: Cost,
    keep: float,
    importance: Mapping[str, Sequence[float]],
    round_to: int,
) -> PruningPlan:
    """Cut slices until the network costs at most `keep` of what it did.

    What a slice loses is its share of what is left of its group (as in LAMP, Lee et al. 2021): that
    makes groups comparable, and each further slice of the same group dearer.

    Args:
        importance: by the group's name a value for each channel, 0 or more.
        round_to: channels of a slice, where a group has no step of its own. Widths that are no
            multiple of it become one with the first.
    """
    widths = list(network.dense)
    order = {group.name: _order(importance[group.name]) for group in network.groups}
    total = cost.total(widths)
    budget = keep * total
    offers = [
        _offer(network, cost, widths, g, order, importance, round_to) for g in range(len(widths))
    ]
    while total > budget and any(offers):
        best = min((offer for offer in offers if offer), key=lambda offer: offer.price)
        widths[best.group] = best.to
        total -= best.saved
        if total <= budget:  # as sums of differences drift
            total = cost.total(widths)
        for g in network.neighbours[best.group]:
            offers[g] = _offer(network, cost, widths, g, order, importance, round_to)
    dropped = {
        group.name: tuple(sorted(order[group.name][: group.width - widths[g]]))
        for g, group in enumerate(network.groups)
    }
    share = cost.share(widths)
    return PruningPlan(tuple(widths), dropped, share, reached=total <= budget)


@dataclass(frozen=True)
class _Offer:
    """The next slice of a group that saves anything: what, and what it loses for each unit."""

    group: int
    to: int
    saved: float
    price: float


def _offer(
    network: Network,
    cost: Cost,
    widths: Sequence[int],
    g: int,
    order: Mapping[str, Sequence[int]],
    importance: Mapping[str, Sequence[float]],
    round_to: int,
) -> _Offer | None:
    step = network.groups[g].step or round_to
    to, saved = narrower(widths[g], step), 0.0
    # A measured table has plateaus, and widths that are slower than wider ones: past these.
    while to is not None and (saved := cost.saved(widths, g, to)) <= 0:
        to = narrower(to, step)
    if to is None:
        return None
    group = network.groups[g]
    values, kept = importance[group.name], order[group.name][group.width - widths[g] :]
    lost = math.fsum(values[c] for c in kept[: widths[g] - to])
    lost /= math.fsum(values[c] for c in kept) or 1.0
    return _Offer(g, to, saved, lost / saved)


def narrower(width: int, step: int) -> int | None:
    """The next smaller multiple, or None where that would leave less than one slice."""
    to = (width - 1) // step * step
    return to if to >= step else None


def _order(values: Sequence[float]) -> list[int]:
    """Channels, the least important first; the lower index where they are equal."""
    return sorted(range(len(values)), key=lambda c: (values[c], c))
