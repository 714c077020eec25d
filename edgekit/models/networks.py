"""Networks by the names of their architectures, untrained or with timm's pretrained weights."""

from __future__ import annotations

from contextlib import nullcontext
from types import MethodType
from typing import Any

from edgekit.data.size import Size
from edgekit.errors import InputError
from edgekit.models import _hub
from edgekit.models.architectures import refuse_unknown
from edgekit.models.source import KEY, TORCHVISION


def create(
    arch: str, classes: int, pretrained: bool = False, image_size: Size | None = None
) -> Any:
    """A timm model in eval mode, or torchvision's where the name begins with `torchvision/`.

    Args:
        image_size: needed by architectures that are built for one size, such as ViT.

    Raises:
        InputError: unknown architecture, with the nearest names.
        WeightsError: the hub's weights cannot be had.
    """
    import timm

    refuse_unknown(arch)
    if arch.startswith(TORCHVISION):
        return _create_torchvision(arch.removeprefix(TORCHVISION), classes)
    try:
        config = timm.get_pretrained_cfg(arch)  # None for timm's deprecated names
        fixed = config and config.fixed_input_size
        sized = {"img_size": image_size.plain} if fixed and image_size else {}
        with _hub.within_seconds() if pretrained else nullcontext():
            network = timm.create_model(arch, pretrained, num_classes=classes, **sized)
        return network.eval()
    except (RuntimeError, OSError, AssertionError) as error:
        if not pretrained:
            raise InputError(f"model.arch: timm cannot build {arch}: {error}") from error
        raise _hub.cannot_be_had(arch, error, KEY) from error


def _create_torchvision(name: str, classes: int) -> Any:
    """torchvision's model with what is read of timm's: its configuration and its classifier."""
    import torch
    import torchvision

    model = torchvision.models.get_model(name, weights=None, num_classes=classes).eval()
    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    linear = [n for n, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    if not linear:
        raise InputError(f"model.arch: {TORCHVISION}{name} does not end in a linear layer")
    facts = {"num_classes": 1000, "architecture": name, "classifier": linear[-1]}
    model.pretrained_cfg = {**imagenet, **facts}
    # A method, so that a copy of the network gives its own layer.
    model.get_classifier = MethodType(lambda self: self.get_submodule(linear[-1]), model)
    return model
