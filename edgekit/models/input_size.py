"""The size of the images that a model file from elsewhere takes, as far as it says so itself.

Nothing of a file is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.data.size import Size
from edgekit.errors import EdgekitError
from edgekit.models import _keras, _keras_config, _onnx, _onnx_checks
from edgekit.models.source import Channels

KERAS_SHAPES = ("batch_shape", "batch_input_shape")
"""What Keras 3 and Keras 2 call the shape of an input."""


def input_size(path: Path) -> Size | None:
    """Of the one input of an ONNX or Keras file; None where it does not tell one."""
    try:
        if path.suffix.lower() == ".onnx":
            image = _onnx_checks.only_input(_onnx.parse(path).graph, path)
            return _size([side.dim_value for side in image.type.tensor_type.shape.dim])
        return _size(keras_shape(_keras_config.read(path)))
    except EdgekitError:
        return None  # what is wrong with the file is told by who reads it


def check_input(path: Path, size: Size, channels: Channels) -> None:
    """Hold what a file says of itself to the images it is to have, as its import does.

    Raises:
        WeightsError: it takes others, or is no float model.
    """
    if path.is_dir():
        return  # to read a SavedModel takes TensorFlow
    if path.suffix.lower() == ".onnx":
        parsed = _onnx.parse(path)
        _onnx_checks.check_operators(parsed, path)
        image = _onnx_checks.only_input(parsed.graph, path)
        if not _onnx_checks.has_open_sides(image):
            _onnx_checks.check_shape(image, size, channels, path)
    elif shape := keras_shape(_keras_config.read(path)):
        _keras.check_shape(tuple(shape), size, channels, path)


def keras_shape(config: Any) -> Sequence[Any]:
    """Of the first layer, at any depth: a later one that tells a shape takes no images."""
    while isinstance(config, dict) and isinstance(options := config.get("config"), dict):
        for key in KERAS_SHAPES:
            if isinstance(options.get(key), list):
                shape: list[Any] = options[key]
                return shape
        layers = options.get("layers")
        config = layers[0] if isinstance(layers, list) and layers else None
    return ()


def _size(shape: Sequence[Any]) -> Size | None:
    """
    >>> _size([1, 3, 96, 96]), _size([None, 64, 80, 3]), _size([1, 3, 0, 0]), _size([1, 10])
    (Size(height=96, width=96), Size(height=64, width=80), None, None)
    """
    if len(shape) != 4:
        return None
    height, width = shape[2:] if shape[1] in (1, 3) else shape[1:3]
    known = all(isinstance(side, int) and side > 0 for side in (height, width))
    return Size(height, width) if known else None
