"""Random changes to training images: what may change, and the transformation itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from edgekit.data.size import Size

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


class Augment(BaseModel):
    """Random changes to each training image."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    scale: tuple[float, float] = Field((0.7, 1.0), strict=False)
    """Share of the area that the random crop keeps."""
    horizontal_flip: bool = True
    """Mirror half of the images, left to right."""
    vertical_flip: bool = False
    """Mirror half of them, top to bottom."""
    rotate: float = Field(0.0, ge=0, le=180)
    """Largest rotation, in degrees."""
    brightness: float = Field(0.2, ge=0, lt=1)
    """Largest share by which it changes."""
    contrast: float = Field(0.2, ge=0, lt=1)
    """Largest share by which it changes."""
    erase: float = Field(0.0, ge=0, le=1)
    """Share of images of which a random rectangle is erased."""

    @field_validator("scale")
    @classmethod
    def _two_shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError(f"two shares expected, the smaller first, not {list(value)}")
        return value


class Views(Augment):
    """A fixed set of random views of each training image, so that a teacher's scores of them can be
    kept, and a student sees exactly what its teacher has seen (Beyer et al. 2022, "Knowledge
    distillation: a good teacher is patient and consistent")."""

    count: int = Field(6, ge=1, le=10_000)
    """Views of each image. An epoch walks through one of them, the next epoch through the next; the
    teacher sees each once."""
    seed: int = Field(0, ge=0, le=2**32)
    """Changes which views are drawn."""

    def maker(self, image_size: Size) -> Callable[[NDArray[np.uint8], int, int], torch.Tensor]:
        """A function of (image, view, index) to a uint8 tensor (3, height, width).

        `image` is uint8 (height, width, 3), `index` its place in the split. The view follows from
        (seed, view, index), and torch's global generator is left as it was.
        """
        import torch

        change = augmentation(self, image_size)

        def view_of(image: NDArray[np.uint8], view: int, index: int) -> torch.Tensor:
            state = np.random.SeedSequence([self.seed, view, index]).generate_state(1, np.uint64)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(state[0]))
                changed: torch.Tensor = change(chw(image))
            return changed

        return view_of


def augmentation(augment: Augment, image_size: Size) -> Any:
    """From a uint8 tensor of any size to a changed one, (3, height, width) of `image_size`; draws
    from torch's global generator alone."""
    import torch
    from torchvision.transforms import v2

    steps: list[Any] = []
    if augment.rotate:
        bilinear = v2.InterpolationMode.BILINEAR
        steps.append(v2.RandomRotation(augment.rotate, bilinear, fill=0))
    height, width = image_size
    ratio = (0.9 * width / height, 1.1 * width / height)
    steps.append(v2.RandomResizedCrop((height, width), augment.scale, ratio, antialias=True))
    if augment.horizontal_flip:
        steps.append(v2.RandomHorizontalFlip())
    if augment.vertical_flip:
        steps.append(v2.RandomVerticalFlip())
    if augment.brightness or augment.contrast:
        steps.append(v2.ColorJitter(augment.brightness, augment.contrast))
    if augment.erase:
        steps.append(v2.RandomErasing(augment.erase, value=128))
    steps.append(v2.ToDtype(torch.uint8))
    return v2.Compose(steps)


def chw(image: NDArray[np.uint8]) -> torch.Tensor:
    """From (height, width, 3) to a tensor of its own, (3, height, width)."""
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
