"""What was cut of a network, group by group."""

from __future__ import annotations

from typing import Any

from edgekit.models.channel_widths import sizes
from edgekit.models.pruned import GroupCut
from edgekit.pruning.network import Network


def cuts_of(network: Network, model: Any) -> tuple[GroupCut, ...]:
    """What is left of the groups of a network in a model that was cut from it."""
    return tuple(
        GroupCut(
            name=group.name,
            layers=len({member.module for member in group.members}),
            before=group.width,
            after=_made(sizes(model.get_submodule(group.name))),
        )
        for group in network.groups
    )


def _made(layer: dict[str, int]) -> int:
    return layer.get("out_channels") or layer["out_features"]
