"""A network as a planner sees it: layers whose widths follow those of the groups (pure but for the
reading of the torch model)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgekit.data.size import Size
from edgekit.pruning.members import Group, is_depthwise
from edgekit.runtimes.contract.microbenchmark import Layer

WidthList = Sequence[int]
"""Of every group, in the order of `Network.groups`."""


@dataclass(frozen=True)
class ChannelPort:
    """The channels at one side of a layer: so many, of which groups own some.

    A group's channel may stand for several of the layer's, as where an image is flattened.
    """

    channels: int
    owners: tuple[tuple[int, int], ...] = ()
    """(position of the group, channels for each of its own)."""

    def at(self, widths: WidthList, dense: WidthList) -> int:
        return self.channels - sum(n * (dense[g] - widths[g]) for g, n in self.owners)


@dataclass(frozen=True)
class LayerPart:
    """A layer of the network at its dense size, and what its widths follow. A grouped convolution
    works like as many small ones."""

    name: str
    layer: Layer
    reads: ChannelPort
    makes: ChannelPort
    per_channel: int
    """Parameters beside the weights for each channel it makes: its bias."""
    times: ChannelPort = ChannelPort(1)
    """How many such layers there are."""

    def at(self, widths: WidthList, dense: WidthList) -> Layer:
        sizes = {"cin": self.reads.at(widths, dense), "cout": self.makes.at(widths, dense)}
        return self.layer.model_copy(update=sizes)

    @property
    def groups(self) -> set[int]:
        return {g for port in (self.reads, self.makes, self.times) for g, _ in port.owners}


@dataclass(frozen=True)
class Network:
    groups: tuple[Group, ...]
    parts: tuple[LayerPart, ...]
    norms: tuple[ChannelPort, ...]
    """Normalisation layers: two parameters a channel."""
    parameters: int

    @cached_property
    def dense(self) -> tuple[int, ...]:
        return tuple(group.width for group in self.groups)

    @cached_property
    def touching(self) -> tuple[tuple[LayerPart, ...], ...]:
        """For each group the layers whose width follows it."""
        return tuple(
            tuple(part for part in self.parts if g in part.groups) for g in range(len(self.groups))
        )

    @cached_property
    def neighbours(self) -> tuple[frozenset[int], ...]:
        """For each group those that share a layer with it, itself among them."""
        return tuple(
            frozenset({g}.union(*(part.groups for part in parts)))
            for g, parts in enumerate(self.touching)
        )

    def layers(self, widths: WidthList) -> list[Layer]:
        return [
            part.at(widths, self.dense)
            for part in self.parts
            for _ in range(part.times.at(widths, self.dense))
        ]


def read_network(model: Any, image_size: Size, groups: tuple[Group, ...]) -> Network:
    """The convolutions and linear layers of a torch model, at the places where they run."""
    import torch

    ports = _ports(groups)
    modules = dict(model.named_modules())
    parts = [
        LayerPart(
            name=name,
            layer=layer,
            reads=ChannelPort(layer.cin, ports.get((name, "in"), ())),
            makes=ChannelPort(layer.cout, ports.get((name, "out"), ())),
            per_channel=0 if modules[name].bias is None else 1,
            times=ChannelPort(times, ports.get((name, "groups"), ())),
        )
        for name, layer, times in _trace(model, image_size)
    ]
    norms = tuple(
        ChannelPort(int(module.weight.numel()), ports.get((name, "out"), ()))
        for name, module in modules.items()
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.LayerNorm)
        and module.weight is not None
    )
    parameters = sum(p.numel() for p in model.parameters())
    return Network(groups=groups, parts=tuple(parts), norms=norms, parameters=parameters)


def _ports(groups: tuple[Group, ...]) -> dict[tuple[str, str], tuple[tuple[int, int], ...]]:
    """Who owns the channels that a layer reads and makes, by its name and "in" or "out"."""
    owners: dict[tuple[str, str], dict[int, int]] = {}
    for position, group in enumerate(groups):
        for member in group.members:
            sides = ("in", "out") if member.side == "both" else (member.side,)
            for side in sides:
                own = owners.setdefault((member.module, side), {})
                own[position] = own.get(position, 0) + len(member.own) // group.width
    return {place: tuple(own.items()) for place, own in owners.items()}


def _trace(model: Any, image_size: Size) -> list[tuple[str, Layer, int]]:
    import torch

    found: list[tuple[str, Layer, int]] = []

    def hook(name: str) -> Any:
        def record(module: Any, inputs: Any, output: Any) -> None:
            found.append((name, *_layer(module, inputs[0])))

        return record

    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    hooks = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, *image_size))
    finally:
        for handle in hooks:
            handle.remove()
    return found


def _layer(module: Any, read: Any) -> tuple[Layer, int]:
    """A layer, and how many such layers it works like."""
    if hasattr(module, "in_features"):
        rows = int(read.numel()) // module.in_features
        makes = module.out_features
        return Layer(kind="conv", height=rows, width=1, cin=module.in_features, cout=makes), 1
    depthwise = is_depthwise(module)
    inside = 1 if depthwise else module.groups
    batch, _, height, width = read.shape
    layer = Layer(
        kind="depthwise" if depthwise else "conv",
        kernel=int(module.kernel_size[0]),
        stride=int(module.stride[0]),
        height=int(batch) * int(height),
        width=int(width),
        cin=module.in_channels // inside,
        cout=module.out_channels // inside,
    )
    return layer, inside
