"""What was cut of a network, group by group."""

from __future__ import annotations

from typing import Any

from edgekit.models.channel_widths import sizes
from edgekit.models.pruned import GroupCut
from edgekit.pruning.members import Group
from edgekit.pruning.network import Network


def cuts_of(network: Network, model: Any) -> tuple[GroupCut, ...]:
    """What is left of the groups of a network in a model that was cut from it."""
    return tuple(
        GroupCut(
            name=group.name,
            layers=len({member.module for member in group.members}),
            before=group.width,
            after=_made(sizes(model.get_submodule(group.name))) // _channels_of_each(group),
        )
        for group in network.groups
    )


def _made(layer: dict[str, int]) -> int:
    return layer.get("out_channels") or layer["out_features"]


def _channels_of_each(group: Group) -> int:
    """How many channels of the layer that makes them stand for one of the group's."""
    maker = next(m for m in group.members if m.module == group.name and m.side != "in")
    return len(maker.own) // group.width
