"""Batch normalisation folded into the layer before it, while every name of the state dict stays.

The BatchNorm that stays only adds a bias: each converter folds it away without changing a bit of
a weight, and what `models.save` keeps is still the architecture's own state dict.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from edgekit.data.size import Size
from edgekit.quantization.trace import Call, Trace, trace

FUSED = ("conv1d", "conv2d", "conv3d", "linear")


class NormalizedLayer(NamedTuple):
    """A convolution or linear layer, and what directly follows it."""

    name: str
    """Of its module."""
    norm: str | None
    """The BatchNorm that alone takes its output."""
    activation: str | None
    """relu, relu6, hardswish, silu, ...: what alone takes the output of both."""


def pairs(model: Any, image_size: Size) -> list[NormalizedLayer]:
    """Layers with a weight in the order they run, each with its BatchNorm and its activation.

    A layer that runs more than once is named once, and nothing is said to follow it.

    Args:
        model: a torch model that takes (1, 3, *image_size), float32.
    """
    modules = dict(model.named_modules())
    seen = trace(model, image_size)
    found: dict[str, NormalizedLayer] = {}
    for call in seen.calls:
        name = call.owner
        if name is None or not _is_layer(call, modules[name]):
            continue
        found[name] = (
            NormalizedLayer(name, None, None) if name in found else _follow(seen, call, modules)
        )
    return list(found.values())


def fold_batch_norm(model: Any, image_size: Size) -> Any:
    """A copy of a model in which each BatchNorm that directly follows a convolution or linear
    layer, and nothing else does, is folded into that layer's weight.

    With a = gamma / sqrt(var + eps), the weight becomes a * weight and the layer's bias, if it
    has one, 0; the BatchNorm keeps weight 1, mean 0, variance 1 - eps and the bias
    beta + a * (bias - mean). Any other BatchNorm is left as it was.

    Args:
        image_size: matters only to an architecture built for one size, such as ViT.

    Returns:
        a model in eval mode whose state dict has the names and shapes of the old one.
    """
    import torch

    folded = copy.deepcopy(model).eval()
    modules = dict(folded.named_modules())
    with torch.no_grad():
        for layer in pairs(folded, image_size):
            if layer.norm is not None:
                _fold(modules[layer.name], modules[layer.norm])
    return folded


def is_trivial(norm: Any) -> bool:
    """Whether a BatchNorm only adds its bias."""
    one = bool((norm.weight == 1).all()) and bool((norm.running_mean == 0).all())
    return one and bool((norm.running_var + norm.eps == 1).all())


def _is_layer(call: Call, module: Any) -> bool:
    import torch

    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)
    # A weight that is computed first, as by weight standardisation, cannot be scaled.
    given = f"{call.owner}.weight".lstrip(".") in call.parameters
    return given and call.function in FUSED and isinstance(module, kinds)


def _follow(seen: Trace, call: Call, modules: dict[str, Any]) -> NormalizedLayer:
    name = call.owner or ""
    last, norm = call, None
    after = seen.only_consumer(call.index)
    if after and after.function == "batch_norm" and _can_fold(seen, after, modules):
        last, norm = after, after.owner
    after = seen.only_consumer(last.index)
    return NormalizedLayer(name, norm, after.activation if after else None)


def _can_fold(seen: Trace, call: Call, modules: dict[str, Any]) -> bool:
    """Whether a BatchNorm has fixed statistics and a bias of its own, and serves one layer."""
    import torch

    if call.owner is None or [c.owner for c in seen.calls].count(call.owner) > 1:
        return False
    norm = modules[call.owner]
    ordinary = isinstance(norm, torch.nn.modules.batchnorm._BatchNorm)
    return ordinary and norm.running_var is not None and norm.weight is not None


def _fold(layer: Any, norm: Any) -> None:
    mean, var = norm.running_mean, norm.running_var
    factor = norm.weight.double() / (var.double() + norm.eps).sqrt()
    shift = -mean.double()
    if layer.bias is not None:
        shift += layer.bias.double()
        layer.bias.zero_()
    shape = (-1,) + (1,) * (layer.weight.dim() - 1)
    layer.weight.copy_(layer.weight.double() * factor.view(shape))
    norm.bias.copy_(norm.bias.double() + factor * shift)
    norm.weight.fill_(1)
    mean.zero_()
    var.fill_(1 - norm.eps)
