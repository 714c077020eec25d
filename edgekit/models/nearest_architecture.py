"""Which architecture a checkpoint is of, by the names and shapes of its tensors."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Mapping

from edgekit.models.architectures import library_of, registered
from edgekit.models.networks import create
from edgekit.models.source import TORCHVISION

COMMON = (
    "resnet18", "resnet34", "resnet50", "mobilenetv2_100", "mobilenetv3_small_100",
    "mobilenetv3_large_100", "mobilenetv4_conv_small", "efficientnet_b0", "efficientnet_lite0",
    "tf_efficientnet_lite0", "ghostnet_100", "mnasnet_100", "regnety_002", "convnext_tiny",
    "deit_tiny_patch16_224", "vit_tiny_patch16_224", "vit_small_patch16_224", "fastvit_t8",
    "torchvision/mobilenet_v2", "torchvision/mobilenet_v3_small", "torchvision/mobilenet_v3_large",
    "torchvision/efficientnet_b0", "torchvision/shufflenet_v2_x1_0", "torchvision/squeezenet1_1",
    "torchvision/mnasnet1_0",
)  # fmt: skip
"""What people bring most, to which a checkpoint of another architecture is held."""
SECONDS = 5.0
"""For that search."""


def architecture_of(shapes: Mapping[str, tuple[int, ...]], named: str) -> str | None:
    """Which architecture a checkpoint is of; None where it is none of those that are tried: the
    common ones, and those with a name like the one that was thought to be it.

    Args:
        shapes: of the checkpoint's tensors, by their names.
    """
    end = time.monotonic() + SECONDS
    for arch in _candidates(named):
        if time.monotonic() > end:
            return None
        if arch != named and _is_of(shapes, arch):
            return arch
    return None


def _candidates(named: str) -> Iterator[str]:
    yield from COMMON
    _, name = library_of(named)
    for library, prefix in (("timm", ""), ("torchvision", TORCHVISION)):
        for near in difflib.get_close_matches(name, sorted(registered(library)), n=5):
            yield prefix + near


def _is_of(shapes: Mapping[str, tuple[int, ...]], arch: str) -> bool:
    """Whether all but the classifier fits, which may have other classes."""
    import torch

    try:
        with torch.device("meta"):
            own = create(arch, 1000).state_dict()
    except Exception:  # of a library that is not there, or cannot build it so
        return False
    misfits = [n for n, t in own.items() if t.dim() and shapes.get(n) != tuple(t.shape)]
    last = [n.rpartition(".")[0] for n in list(own)[-1:]]
    return all(name.rpartition(".")[0] in last for name in misfits) and len(misfits) < len(own) / 2
