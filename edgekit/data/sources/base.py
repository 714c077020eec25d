"""The contract of a data source: it lists labelled images; it never decodes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from edgekit.data.framing import Fit, Framing, Interpolation, Orientation
from edgekit.data.problem import DataProblem
from edgekit.data.size import Sides, Size
from edgekit.errors import DataError

SplitName = Literal["train", "calibration", "validation", "test"]
SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "calib": "calibration",
    "calibration": "calibration",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""What folders and tables call the splits."""


@dataclass(frozen=True)
class Sample:
    """One image file and what it shows.

    `name` is its path inside the data set: stable across machines, so that digests are too.
    `split` is set where the source itself divides its images.
    """

    name: str
    path: Path
    label: str
    split: SplitName | None = None


@dataclass(frozen=True)
class Listing:
    """All images of a source, and its class names in the order of the model's scores."""

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    problems: tuple[DataProblem, ...] = ()
    """What the source passed over, or read otherwise than it stands."""
    refusals: tuple[DataError, ...] = ()
    """What no build can go on with; told with all else that is wrong with the images."""


class Source(BaseModel, ABC):
    """Settings every data source has. Subclasses add their own and a `source` literal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    image_size: Annotated[Size, Sides(16, 2048)]
    """Pixels that the model takes: one number of a square, else [height, width]."""
    fit: Fit = "crop"
    """How a picture of another shape becomes the model's: `crop` its centre, `squash` it, or `pad`
    it with black. As the model was trained: Keras and Resize((h, w)) squash."""
    crop_pct: float = Field(1.0, ge=0.1, le=1)
    """Of fit: crop. Resize to cover image_size / crop_pct, then crop the centre."""
    interpolation: Interpolation = "bicubic"
    """How pictures are resized, as the model was trained. `bicubic`, `bilinear`, `lanczos` and
    `nearest` are Pillow's, torchvision's and timm's; `bilinear_no_antialias` is that of
    tf.image.resize, Keras' image_dataset_from_directory and OpenCV's INTER_LINEAR."""
    orientation: Orientation = "upright"
    """`upright`: photos are turned as their EXIF orientation says. `as_stored`: they are not, as in
    a training with Keras' image_dataset_from_directory, torchvision's ImageFolder or timm."""
    validation_share: float = Field(0.25, gt=0, lt=1)
    """Share of each class kept for validation where the source has no split of its own."""
    evaluate_on: Literal["validation", "test"] = "validation"
    """The split every accuracy figure is measured on."""
    seed: int = 0
    """Changes which images are kept for validation."""
    unreadable: Literal["stop", "skip"] = "stop"
    """What to do about images that cannot be decoded: they are named and counted either way."""

    @field_validator("crop_pct")
    @classmethod
    def _of_crops_alone(cls, value: float, info: ValidationInfo) -> float:
        fit = info.data.get("fit", "crop")
        if value < 1 and fit != "crop":
            raise ValueError(f"fit: {fit} crops nothing: leave it out")
        return value

    @property
    def framing(self) -> Framing:
        return Framing(
            self.image_size, self.crop_pct, self.fit, self.interpolation, self.orientation
        )

    @abstractmethod
    def listing(self) -> Listing:
        """List the images, without opening them.

        Raises:
            DataError: the folder, a label or a class is missing.
        """
