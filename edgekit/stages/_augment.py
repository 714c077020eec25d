"""Random changes to training images: what may change, and the transformation itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Augment(BaseModel):
    """Random changes to each training image."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    scale: tuple[float, float] = Field((0.7, 1.0), strict=False)
    """Share of the area that the random crop keeps."""
    horizontal_flip: bool = True
    vertical_flip: bool = False
    rotate: float = Field(0.0, ge=0, le=180)
    """Largest rotation, in degrees."""
    brightness: float = Field(0.2, ge=0, lt=1)
    contrast: float = Field(0.2, ge=0, lt=1)
    erase: float = Field(0.0, ge=0, le=1)
    """Share of images of which a random rectangle is erased."""

    @field_validator("scale")
    @classmethod
    def _two_shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError(f"two shares expected, the smaller first, not {list(value)}")
        return value


def augmentation(augment: Augment, image_size: int) -> Any:
    """From a uint8 tensor (3, height, width) to a changed one, (3, image_size, image_size); draws
    from torch's global generator alone."""
    import torch
    from torchvision.transforms import v2

    steps: list[Any] = []
    if augment.rotate:
        bilinear = v2.InterpolationMode.BILINEAR
        steps.append(v2.RandomRotation(augment.rotate, bilinear, fill=0))
    steps.append(v2.RandomResizedCrop(image_size, augment.scale, (0.9, 1.1), antialias=True))
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
