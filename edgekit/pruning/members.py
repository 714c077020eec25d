"""Channels that are cut together, and the layers that have them (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["in", "out", "both", "groups"]
"""`groups`: not channels, but groups of a grouped convolution, each as it is."""


@dataclass(frozen=True)
class Member:
    """A layer of a group, and which of its channels the group's are."""

    module: str
    side: Side
    own: tuple[int, ...]
    """Channels, or groups, of the layer."""
    root: tuple[int, ...]
    """For each of them, the group's channel that it belongs to."""


@dataclass(frozen=True)
class Group:
    """Channels that are cut together, `width` of them; or heads of an attention, each with all its
    channels."""

    name: str
    """The layer that makes them."""
    width: int
    members: tuple[Member, ...]
    step: int | None = None
    """How many are cut at a time; what the recipe says unless given."""


def is_depthwise(module: Any) -> bool:
    """A convolution that reads each channel by itself and makes one of it."""
    groups = getattr(module, "groups", 1)
    return groups > 1 and groups == module.out_channels == module.in_channels
