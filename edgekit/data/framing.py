"""How a photo of any shape becomes the height and width that a model takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from edgekit.data.size import Size
from edgekit.engine.artifact import Json

if TYPE_CHECKING:
    from PIL import Image

Fit = Literal["crop", "squash", "pad"]
FITS: tuple[Fit, ...] = get_args(Fit)


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

    def apply(self, image: Image.Image) -> Image.Image:
        """The picture at `size`, resized with Pillow's bicubic filter."""
        from PIL import Image

        inner = self._resized(*image.size)
        left, top = map(_before, inner, (self.size.width, self.size.height))
        # Pillow fills with black what lies beyond the border.
        resized = image.resize(inner, Image.Resampling.BICUBIC)
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

    def with_fit(self, fit: Fit) -> Framing:
        """The usual framing of another kind; `crop_pct` belongs to crops alone."""
        return replace(self, fit=fit, crop_pct=1.0)

    def settings(self) -> Json:
        """What enters the keys of steps."""
        return {"size": self.size.plain, "crop_pct": self.crop_pct, "fit": self.fit}


def _before(inner: int, side: int) -> int:
    """Where the middle of a side begins, as CenterCrop has it; negative where it is padded.

    >>> _before(8, 5), _before(7, 4), _before(4, 7)
    (2, 2, -1)
    """
    return round((inner - side) / 2) if inner >= side else -((side - inner) // 2)
