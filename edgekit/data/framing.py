"""How a photo of any shape becomes the height and width that a model takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from edgekit.data.size import Size
from edgekit.engine.artifact import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

Fit = Literal["crop", "squash", "pad"]
FITS: tuple[Fit, ...] = get_args(Fit)
Interpolation = Literal["bicubic", "bilinear", "lanczos", "nearest", "bilinear_no_antialias"]
"""All but the last are Pillow's, torchvision's and timm's: the filter widens with the reduction.
The last is Keras' and OpenCV's: the four pixels around a point, however many lie between."""
Orientation = Literal["upright", "as_stored"]
"""`upright` turns a photo as its EXIF block says. Keras' image_dataset_from_directory,
torchvision's ImageFolder and timm's train.py take photos as they are stored."""
TRIED: tuple[Interpolation, ...] = ("bicubic", "bilinear", "nearest", "bilinear_no_antialias")
"""On a model from elsewhere. Lanczos is near to bicubic."""


class Way(NamedTuple):
    """What is chosen of how a photo becomes the model's size."""

    fit: Fit = "crop"
    orientation: Orientation = "upright"
    interpolation: Interpolation = "bicubic"

    def others(self, turned: bool) -> tuple[Way, ...]:
        """What may serve better: fits and orientations together, and interpolations alone.

        Args:
            turned: there are photos that an orientation turns.
        """
        orientations = get_args(Orientation) if turned else (self.orientation,)
        shapes = [Way(f, o, self.interpolation) for f in FITS for o in orientations]
        near = [self._replace(interpolation=name) for name in TRIED]
        return tuple(dict.fromkeys(way for way in (*shapes, *near) if way != self))

    @property
    def file(self) -> str:
        """Of images that were decoded so, beside others."""
        return f"images-{'-'.join(self)}.npy"


@dataclass(frozen=True)
class Framing:
    """What a model was trained with it must be given: another framing costs accuracy in silence.

    crop: resize until the picture covers size / crop_pct on both sides, then cut out the centre.
    squash: resize both sides, whatever becomes of the shapes in it.
    pad: resize until the picture fits in, with black beside it.
    """

    size: Size
    crop_pct: float = 1.0
    fit: Fit = "crop"
    interpolation: Interpolation = "bicubic"
    orientation: Orientation = "upright"

    @property
    def way(self) -> Way:
        return Way(self.fit, self.orientation, self.interpolation)

    def apply(self, image: Image.Image) -> Image.Image:
        """The picture at `size`."""
        inner = self._resized(*image.size)
        left, top = map(_before, inner, (self.size.width, self.size.height))
        resized = _resize(image, inner, self.interpolation)
        # Pillow fills with black what lies beyond the border.
        return resized.crop((left, top, left + self.size.width, top + self.size.height))

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height before the crop: of squares torchvision's Resize, which rounds down; of
        other shapes timm's ResizeKeepRatio, which rounds."""
        if self.fit == "squash":
            return self.size.width, self.size.height
        high, wide = (math.floor(side / self.crop_pct) for side in self.size)
        if self.fit == "crop" and wide == high:
            short = min(width, height)
            return wide * width // short, wide * height // short
        choose = max if self.fit == "pad" else min
        ratio = choose(width / wide, height / high)
        return max(1, round(width / ratio)), max(1, round(height / ratio))

    def left_out(self, width: int, height: int) -> float:
        """The share of a picture that is cut off for its shape alone (pure).

        >>> Framing(Size(224, 224)).left_out(400, 200), Framing(Size(112, 224)).left_out(400, 200)
        (0.5, 0.0)
        """
        ratio = (width / height) / (self.size.width / self.size.height)
        return 1 - min(ratio, 1 / ratio) if self.fit == "crop" else 0.0

    def enlarged(self, factor: float) -> Framing:
        return replace(self, size=Size(*(round(side * factor) for side in self.size)))

    def in_way(self, way: Way) -> Framing:
        """Another way to the same size; `crop_pct` belongs to its own fit alone."""
        crop_pct = self.crop_pct if way.fit == self.fit else 1.0
        return replace(self, crop_pct=crop_pct, **way._asdict())

    def settings(self) -> Json:
        """What enters the keys of steps."""
        return {"size": self.size.plain, "crop_pct": self.crop_pct, **self.way._asdict()}


def _before(inner: int, side: int) -> int:
    """Where the middle of a side begins, as CenterCrop has it; negative where it is padded.

    >>> _before(8, 5), _before(7, 4), _before(4, 7)
    (2, 2, -1)
    """
    return round((inner - side) / 2) if inner >= side else -((side - inner) // 2)


def _resize(image: Image.Image, to: tuple[int, int], how: Interpolation) -> Image.Image:
    """
    Args:
        to: width and height.
    """
    from PIL import Image

    if how != "bilinear_no_antialias":
        return image.resize(to, Image.Resampling[how.upper()])
    import numpy as np

    # Pillow's own, Image.transform, rounds down.
    pixels = np.asarray(image)
    for axis, side in ((0, to[1]), (1, to[0])):
        pixels = _between(pixels, axis, side)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _between(pixels: NDArray[Any], axis: int, side: int) -> NDArray[np.float32]:
    """Weighted means of neighbours along an axis, whose length becomes `side`."""
    import numpy as np

    length = pixels.shape[axis]
    # The middle of a new pixel, in old ones: beyond the outermost middles nothing is guessed.
    at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
    first = at.astype(int)
    weight = (at - first).astype(np.float32).reshape((-1,) + (1,) * (pixels.ndim - 1 - axis))
    before = pixels.take(first, axis).astype(np.float32)
    after = pixels.take(np.minimum(first + 1, length - 1), axis)
    return np.asarray(before + weight * (after - before))
