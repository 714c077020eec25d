"""The heads of attentions as groups: a head is cut with all its queries, keys and values.

Of two kinds the layout of the channels is known: timm's `Attention` (ViT, DeiT, DINOv2), and the
`LiteMLA` of EfficientViT. What other attentions hold inside is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgekit.models.channel_widths import is_attention
from edgekit.pruning.members import Group, Member

LINEAR_ATTENTION = "LiteMLA"


class Heads(Protocol):
    """The heads of one attention."""

    @property
    def group(self) -> Group: ...

    def cut(self, dropped: Sequence[int]) -> None:
        """Remove heads in place, counted as they are now."""


def heads_of(model: Any) -> Iterator[Heads]:
    """Those of every attention of a model whose layout is known."""
    for name, module in model.named_modules():
        if is_attention(module):
            if _is_plain(module):
                yield AttentionHeads(name, module)
        elif type(module).__name__ == LINEAR_ATTENTION:
            yield LinearAttentionHeads(name, module)


def whole_layers(model: Any) -> list[Any]:
    """Layers whose channels are never cut one by one: inside attentions they belong to heads, and
    a GluMlp's first layer makes two halves, of which one scales the other."""
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    found = []
    for module in model.modules():
        kind = type(module).__name__
        if is_attention(module):
            found.append(module.qkv)
        elif "Attention" in kind:
            found += [layer for layer in module.modules() if isinstance(layer, kinds)]
        elif kind == "GluMlp":
            found.append(module.fc1)
    return found


def _is_plain(attention: Any) -> bool:
    """Without what goes over all heads."""
    return attention.gate is None and not [*attention.norm.parameters()]


@dataclass(frozen=True)
class AttentionHeads:
    """timm's Attention: `qkv` makes [query | key | value], each [head | channel]."""

    name: str
    attention: Any

    @property
    def group(self) -> Group:
        heads, width = self.attention.num_heads, self.attention.head_dim
        made = tuple(range(3 * heads * width))
        read = tuple(range(heads * width))
        return Group(
            name=f"{self.name}.qkv",
            width=heads,
            members=(
                Member(f"{self.name}.qkv", "out", made, tuple(c // width % heads for c in made)),
                Member(f"{self.name}.proj", "in", read, tuple(c // width for c in read)),
            ),
            step=1,
        )

    def cut(self, dropped: Sequence[int]) -> None:
        from torch_pruning.pruner.function import prune_linear_in_channels as narrow_in
        from torch_pruning.pruner.function import prune_linear_out_channels as narrow_out

        attention = self.attention
        made, read = (_channels(member, dropped) for member in self.group.members)
        narrow_out(attention.qkv, made)
        narrow_in(attention.proj, read)
        attention.num_heads -= len(dropped)
        attention.attn_dim = attention.num_heads * attention.head_dim


@dataclass(frozen=True)
class LinearAttentionHeads:
    """EfficientViT's: `qkv` makes [head | query, key, value | channel], each scale of `aggreg` the
    same again; `proj` reads [scale | head | channel]."""

    name: str
    attention: Any

    @property
    def group(self) -> Group:
        width, scales = self.attention.dim, 1 + len(self.attention.aggreg)
        heads = self.attention.qkv.conv.out_channels // (3 * width)
        made = tuple(range(3 * heads * width))
        owner = tuple(c // (3 * width) for c in made)
        read = tuple(range(scales * heads * width))
        small = tuple(range(3 * heads))
        of_small = tuple(c // 3 for c in small)
        return Group(
            name=f"{self.name}.qkv.conv",
            width=heads,
            members=(
                Member(f"{self.name}.qkv.conv", "out", made, owner),
                *(
                    Member(f"{self.name}.aggreg.{scale}.0", "both", made, owner)
                    for scale in range(scales - 1)
                ),
                *(
                    Member(f"{self.name}.aggreg.{scale}.1", "groups", small, of_small)
                    for scale in range(scales - 1)
                ),
                Member(
                    f"{self.name}.proj.conv", "in", read, tuple(c // width % heads for c in read)
                ),
            ),
            step=1,
        )

    def cut(self, dropped: Sequence[int]) -> None:
        from torch_pruning.pruner.function import (
            prune_conv_in_channels,
            prune_conv_out_channels,
            prune_depthwise_conv_out_channels,
        )

        attention = self.attention
        made, *_, read = (_channels(member, dropped) for member in self.group.members)
        for depthwise, grouped in attention.aggreg:
            prune_depthwise_conv_out_channels(depthwise, made)
            _drop_groups(grouped, made)
        prune_conv_out_channels(attention.qkv.conv, made)
        prune_conv_in_channels(attention.proj.conv, read)


def _channels(member: Member, dropped: Sequence[int]) -> list[int]:
    """The channels of a layer that belong to some heads."""
    gone = {*dropped}
    return [c for c, root in zip(member.own, member.root, strict=True) if root in gone]


def _drop_groups(convolution: Any, made: Sequence[int]) -> None:
    """Remove whole groups of a grouped convolution, in place.

    Args:
        made: all channels that they make.
    """
    import torch

    gone = {*made}
    kept = [c for c in range(convolution.out_channels) if c not in gone]
    inside = convolution.out_channels // convolution.groups
    for name, parameter in convolution.named_parameters(recurse=False):
        setattr(convolution, name, torch.nn.Parameter(parameter.detach()[kept]))
    convolution.in_channels = convolution.out_channels = len(kept)
    convolution.groups = len(kept) // inside
