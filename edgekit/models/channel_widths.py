"""The widths of a pruned network, as JSON: what differs from the architecture as it is built.

With it a network that was cut is built again from its architecture and a state dict, and no pickle
is needed that names classes and runs code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.errors import WeightsError

if TYPE_CHECKING:
    import torch

Widths = dict[str, dict[str, int]]
"""By module name the sizes that were changed, e.g. {"blocks.0.0.conv": {"out_channels": 24}}."""

ATTENTION = "Attention"
SIZES = {
    "Conv2d": ("in_channels", "out_channels", "groups"),
    "Linear": ("in_features", "out_features"),
    "BatchNorm2d": ("num_features",),
    "LayerNorm": ("normalized_shape",),
    ATTENTION: ("num_heads", "attn_dim"),
}
"""The kinds of modules that have a width, and what torch calls it; of timm's attention how many
heads, and the width of all of them."""


def changed_widths(model: Any, dense: Any) -> Widths | None:
    """What of a network was cut, against the same architecture uncut; None if nothing was."""
    own = {name: sizes(module) for name, module in model.named_modules()}
    found = {
        name: {key: size for key, size in own[name].items() if size != before.get(key)}
        for name, before in ((name, sizes(module)) for name, module in dense.named_modules())
        if own.get(name) not in (None, before)
    }
    return found or None


def kind_of(module: Any) -> str | None:
    """Which of `SIZES` a module is; None for one without a width."""
    import torch

    if is_attention(module):
        return ATTENTION
    layers = [kind for kind in SIZES if kind != ATTENTION]
    return next((kind for kind in layers if isinstance(module, getattr(torch.nn, kind))), None)


def is_attention(module: Any) -> bool:
    """Whether it is timm's Attention, of ViT, DeiT and DINOv2."""
    from timm.layers.attention import Attention

    return type(module) is Attention  # a subclass may lay its channels out otherwise


def sizes(module: Any) -> dict[str, int]:
    """The sizes of a module that has a width; nothing for any other.

    >>> import torch
    >>> sizes(torch.nn.Conv2d(3, 8, kernel_size=3))
    {'in_channels': 3, 'out_channels': 8, 'groups': 1}
    >>> sizes(torch.nn.ReLU())
    {}
    """
    return {key: _number(getattr(module, key)) for key in _keys(module)}


def resize(model: Any, widths: Widths) -> None:
    """Give the modules of a network these widths, in place.

    What is left of their tensors is what stands first; a state dict is expected to follow.

    Raises:
        WeightsError: the widths are not of this architecture.

    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Linear(8, 2))
    >>> resize(network, {"0": {"out_features": 5}, "1": {"in_features": 5}})
    >>> [tuple(layer.weight.shape) for layer in network]
    [(5, 3), (2, 5)]
    """
    modules = dict(model.named_modules())
    for name, changed in widths.items():
        module = modules.get(name)
        before = {} if module is None else sizes(module)
        wrong = [key for key, size in changed.items() if not 0 < size <= before.get(key, 0)]
        if wrong or not before:
            what = f"has no {', '.join(wrong)} to cut" if before else "has no width"
            raise WeightsError(
                f"the widths name {name}, which {what} in this architecture",
                hint="give the architecture that the weights were pruned from",
            )
        _cut(module, before | changed)


def _cut(module: Any, wanted: dict[str, int]) -> None:
    kind = kind_of(module)
    shape: tuple[int, ...]
    if kind == "Conv2d":
        shape = (wanted["out_channels"], wanted["in_channels"] // wanted["groups"])
    elif kind == "Linear":
        shape = (wanted["out_features"], wanted["in_features"])
    else:
        shape = (next(iter(wanted.values())),)
    for key, size in wanted.items():
        setattr(module, key, (size,) if key == "normalized_shape" else size)
    for name, parameter in list(module.named_parameters(recurse=False)):
        setattr(module, name, type(parameter)(_first(parameter.detach(), shape)))
    for name, buffer in list(module.named_buffers(recurse=False)):
        setattr(module, name, _first(buffer, shape))


def _first(tensor: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The first entries along the dimensions of `shape`, as many as the tensor has of them."""
    kept = tensor[tuple(slice(size) for size in shape[: tensor.dim()])] if tensor.dim() else tensor
    return kept.clone()


def _keys(module: Any) -> tuple[str, ...]:
    return SIZES.get(kind_of(module) or "", ())


def _number(size: Any) -> int:
    """A LayerNorm's shape is a tuple; only that of the last dimension alone is a width."""
    return int(size[-1]) if isinstance(size, tuple) else int(size)
