"""Cut a network to a budget: plan, cut, see on the runtime what came of it, and cut again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.errors import NotAsAsked
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.models.channel_widths import changed_widths
from edgekit.pruning import cost, planner
from edgekit.pruning.cost import Cost
from edgekit.pruning.groups import Dependencies
from edgekit.pruning.importance import Importance
from edgekit.pruning.layer_latencies import Table
from edgekit.pruning.network import Network, read_network
from edgekit.pruning.planner import PruningPlan

MAX_CUTS = 4
"""Cuts that are tried before what the table promises is left at what the runtime gives."""
Score = Callable[[Network, Any, Card], Importance]


class TooDeep(NotAsAsked):
    """More was to be cut than there is."""


@dataclass(frozen=True)
class Cut:
    """A network after a cut, not yet recovered."""

    model: Any
    card: Card
    cost: float
    """As predicted, in the unit of the budget."""


def cost_of(by: str, network: Network, table: Table | None) -> Cost:
    """What a budget is counted in. A file's bytes are all but its parameters."""
    if by == "latency":
        assert table is not None
        return cost.latency(network, table.seconds)
    return cost.macs(network) if by == "macs" else cost.parameters(network)


def cut(
    model: Any,
    card: Card,
    by: str,
    table: Table | None,
    budget: float,
    score: Score,
    round_to: int,
    total: float,
    keep: float,
) -> Cut:
    """Cut a copy of a network.

    Args:
        budget: in the unit of `by`: seconds, operations or parameters.
        total: of the network that was never cut, in the same unit.
        keep: what the user requested to be left of it, as a share.

    Raises:
        TooDeep: not as much can be cut.
        NotAsAsked: nothing of the architecture can be cut.
    """
    own = copy.deepcopy(model).requires_grad_(True)  # a trained average is frozen
    dependencies = Dependencies(own, card.image_size)
    network = read_network(own, card.image_size, dependencies.groups)
    refuse_whole(network, card, round_to)
    measure = cost_of(by, network, table)
    now = measure.total(network.dense)
    plan = planner.plan_cut(network, measure, budget / now, score(network, own, card), round_to)
    if not plan.reached:
        raise TooDeep(
            f"prune.keep: {keep:g} cannot be reached: {_deepest(network, plan, card, round_to)}, "
            f"{100 * plan.share * now / total:.0f} % of the {by} is left",
            hint="keep more, or lower round_to",
        )
    if not any(plan.dropped.values()):  # the cut before went past this budget too
        return Cut(own, card, now)
    dependencies.cut(plan.dropped)
    return Cut(own, described(own, card), plan.share * now)


def _deepest(network: Network, plan: PruningPlan, card: Card, round_to: int) -> str:
    widths = zip(network.groups, plan.widths, strict=True)
    wide = [g.name for g, width in widths if planner.narrower(width, g.step or round_to)]
    if not wide:
        return f"with every group of {card.arch} cut to {round_to} channels"
    more = f" and {len(wide) - 3} more" if len(wide) > 3 else ""
    return f"{card.arch} gains nothing by narrowing {', '.join(wide[:3])}{more}, and"


def refuse_whole(network: Network, card: Card, round_to: int) -> None:
    """Raises: NotAsAsked: there is nothing to cut."""
    if not any(planner.narrower(g.width, g.step or round_to) for g in network.groups):
        raise NotAsAsked(
            f"prune: torch-pruning found nothing to cut in {card.arch}: {len(network.groups)} "
            f"groups of channels, none wider than {round_to}",
            hint="the MobileNet, EfficientNet, EfficientViT and ViT families can be pruned",
        )


def described(model: Any, card: Card) -> Card:
    """The card of a network that was cut: how to build it again, and how large it is.

    Raises:
        NotAsAsked: its channel counts are what they were.
    """
    dense = timm_models.create(card.arch, len(card.classes), image_size=card.image_size)
    widths = changed_widths(model, dense)
    if widths == card.widths:
        raise NotAsAsked(
            f"prune: no channel of {card.arch} was cut, though torch-pruning named some to cut",
            hint="this is edgekit's fault or torch-pruning's: please report the architecture",
        )
    facts = {
        "widths": widths,
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": timm_models.count_macs(model.eval(), card.image_size),
    }
    return card.model_copy(update=facts)


def aim_lower(aim: float, predicted: float, measured: float, keep: float) -> float | None:
    """The share to plan for, so that `keep` is what will be measured (pure).

    The table knows layers, and not what lies between them: of what it promises to save, the whole
    network shows a part. As much as that part is lacking must be cut on top.

    Returns:
        None where more cutting cannot help: the last cut showed nothing.
    """
    if predicted >= 1 or measured >= 1:
        return None
    shown = (1 - measured) / (1 - predicted)
    wanted = 1 - (1 - keep) / shown
    return wanted if 0 < wanted < aim else None
