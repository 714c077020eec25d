"""The size of the images that a model file from elsewhere takes, as far as it says so itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.models import _keras_config, _onnx, _onnx_checks

KERAS_SHAPES = ("batch_shape", "batch_input_shape")
"""What Keras 3 and Keras 2 call the shape of an input."""


def input_side(path: Path) -> int | None:
    """Pixels of a side of an ONNX or Keras file's square input; None where it does not tell one.

    Nothing of the file is run.
    """
    try:
        if path.suffix.lower() == ".onnx":
            image = _onnx_checks.only_input(_onnx.parse(path).graph, path)
            return _square([side.dim_value for side in image.type.tensor_type.shape.dim])
        return _square(_keras_shape(_keras_config.read(path)))
    except EdgekitError:
        return None  # what is wrong with the file is told by who reads it


def _keras_shape(config: Any) -> Sequence[Any]:
    for entry in _keras_config.entries(config):
        for key in KERAS_SHAPES:
            if isinstance(entry.get(key), list):
                shape: list[Any] = entry[key]
                return shape
    return ()


def _square(shape: Sequence[Any]) -> int | None:
    """
    >>> _square([1, 3, 96, 96]), _square([None, 64, 64, 3]), _square([1, 3, 0, 0]), _square([1, 10])
    (96, 64, None, None)
    """
    if len(shape) != 4:
        return None
    height, width = shape[2:] if shape[1] in (1, 3) else shape[1:3]
    return height if isinstance(height, int) and height > 0 and height == width else None
