"""Swish replaced by an activation without an exponential, as MobileNetV3 and EfficientNet-Lite did.

What is replaced has no weights, so the state dict keeps its names: an architecture, the name of the
activation and the tensors build the network again.
"""

from __future__ import annotations

from typing import Any, Literal

from edgekit.errors import InputError

SwishSubstitute = Literal["hard_swish", "relu6"]
SWISH = ("SiLU", "Swish")
SIGMOID = ("Sigmoid",)
GATES = ("gate", "scale_activation")
"""What timm and torchvision call the last activation of squeeze-and-excitation."""


def replace_swish(model: Any, substitute: SwishSubstitute) -> tuple[int, int]:
    """Put another activation in place of each swish of a network, and hard-sigmoid in place of the
    sigmoid of each squeeze-and-excitation, in place.

    Returns:
        how many of each.

    Raises:
        InputError: the network has no swish.

    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, kernel_size=3), torch.nn.SiLU())
    >>> replace_swish(network, "relu6")
    (1, 0)
    >>> network[1]
    ReLU6(inplace=True)
    """
    import torch

    swishes, gates = _named(model, SWISH), _named(model, SIGMOID, GATES)
    if not swishes:
        kinds = {type(module).__name__ for module in model.modules()}
        others = sorted(kinds & {*torch.nn.modules.activation.__all__})
        raise InputError(
            f"finetune.activation: {substitute} would replace swish, and this network has none; "
            f"its activations are {', '.join(others) or 'functions inside its layers'}",
            hint="remove the key; EfficientNet and MobileViT have swish",
        )
    kind = {"hard_swish": torch.nn.Hardswish, "relu6": torch.nn.ReLU6}[substitute]
    for parent, name in swishes:
        setattr(parent, name, kind(inplace=True))
    for parent, name in gates:
        setattr(parent, name, torch.nn.Hardsigmoid(inplace=True))
    return len(swishes), len(gates)


def _named(
    model: Any, kinds: tuple[str, ...], names: tuple[str, ...] = ()
) -> list[tuple[Any, str]]:
    """Modules by kind, and by name where names are given, each with the module it is in."""
    return [
        (parent, name)
        for parent in model.modules()
        for name, module in parent._modules.items()
        if type(module).__name__ in kinds and (not names or name in names)
    ]
