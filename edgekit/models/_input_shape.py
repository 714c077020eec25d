"""In words, how what a model takes differs from what the recipe says of it."""

from __future__ import annotations

from edgekit.data.size import Size
from edgekit.models.source import Channels

DEPTHS: dict[Channels, int] = {"rgb": 3, "bgr": 3, "grey": 1}
"""How many numbers a model takes for each pixel."""
LUMA = (0.299, 0.587, 0.114)
"""What R, G and B count for in grey (ITU-R BT.601): as Pillow converts to L, and TensorFlow."""


def advice(
    height: int | None, width: int | None, depth: int | None, size: Size, channels: Channels
) -> str:
    """What to do where a model does not take images of this size (pure).

    Args:
        height, width, depth: what it takes; None for what it leaves open.

    >>> advice(96, 96, 1, Size(96, 96), "rgb")
    "it takes one channel: write channels: grey in the recipe's model section"
    >>> advice(96, 128, 3, Size(128, 96), "rgb")
    "write image_size: [96, 128] in the recipe's data section"
    """
    if depth is not None and depth != DEPTHS[channels]:
        return _depth_advice(depth)
    # A side that it leaves open is taken for the other one's length, unless the recipe says more.
    high, wide = (width, height) if size.is_square else size
    own = Size(height or high or 0, width or wide or 0)
    if own.height and own != size:
        return f"write image_size: {own.plain} in the recipe's data section"
    return "export it for one image, with fixed sides and three channels, or one of grey"


def _depth_advice(depth: int) -> str:
    if depth == 1:
        return "it takes one channel: write channels: grey in the recipe's model section"
    if depth == 3:
        return "it takes three channels: leave channels: grey out of the recipe's model section"
    return f"it takes {depth} channels: give a model of RGB or grey images"
