"""How a photo of any shape becomes the height and width that a model takes."""

from __future__ import annotations

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

        height, width = self.size
        inner = (width, height) if self.fit == "squash" else self._resized(*image.size)
        left, top = (inner[0] - width) // 2, (inner[1] - height) // 2
        # Pillow fills with black what lies beyond the border.
        resized = image.resize(inner, Image.Resampling.BICUBIC)
        return resized.crop((left, top, left + width, top + height))

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        wanted = self.size
        if self.fit == "pad":
            scale = min(wanted.width / width, wanted.height / height)
            return max(1, round(width * scale)), max(1, round(height * scale))
        scale = max(
            round(wanted.width / self.crop_pct) / width,
            round(wanted.height / self.crop_pct) / height,
        )
        return max(wanted.width, round(width * scale)), max(wanted.height, round(height * scale))

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
