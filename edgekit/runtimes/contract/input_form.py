"""How an image is fed to a compiled model, and what a shipped file says of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from edgekit.errors import InputError
from edgekit.models.card import Card
from edgekit.models.source import Triple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Io = Literal["uint8", "float", "integer"]
"""What a shipped file takes and gives: `uint8` raw pixels in and float scores out, `float`
normalised pixels in and float scores out, `integer` raw pixels in and quantised scores out."""


class InputForm(BaseModel):
    """How an image is fed to a compiled model.

    dtype uint8: raw pixels. dtype float32: (pixels / 255 - mean) / std.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["float32", "uint8"]
    mean: Triple
    std: Triple

    def prepare(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """uint8 (images, height, width, 3) to the array the model takes."""
        from edgekit.agent.agent import prepare

        prepared: NDArray[Any] = prepare(images, self.model_dump())
        return prepared


class PixelGrid(BaseModel):
    """A quantised input whose codes are the pixels themselves: real = scale * (pixel - zero_point).

    Normalisation then costs nothing: it is the input's scale and zero point.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float
    zero_point: int

    @property
    def form(self) -> InputForm:
        """The float input that stands for the same grid, exactly."""
        mean, std = self.zero_point / 255, 1 / (255 * self.scale)
        return InputForm(dtype="float32", mean=(mean,) * 3, std=(std,) * 3)


def pixel_grid(card: Card) -> PixelGrid | None:
    """The grid for a model whose three channels are normalised alike, else None.

    The zero point must be a whole number, so the grid may be off by up to half a grey level:
    a mean of 0.5 is 127.5, and becomes 128.
    """
    if len(set(card.mean)) > 1 or len(set(card.std)) > 1:
        return None
    return PixelGrid(scale=1 / (255 * card.std[0]), zero_point=int(255 * card.mean[0] + 0.5))


def preprocessing(
    card: Card, form: InputForm, labels: tuple[str, ...], io: Io = "uint8"
) -> dict[str, Any]:
    """What a shipped file says of itself: how an image must be cut, and what it does inside."""
    how = {"image_size", "fit", "crop_pct", "interpolation", "orientation"}
    facts = card.model_dump(mode="json", include=how)
    facts |= form.model_dump(mode="json", include={"mean", "std"})
    dtype = "float32" if io == "float" else "uint8"
    return {**facts, "layout": "NHWC", "colour": "RGB", "dtype": dtype, "classes": labels}


def is_planar(shape: tuple[Any, ...]) -> bool:
    """Whether the channels of an image come before its height and width, as in every export of
    torch's; an open side is 0, -1 or a name.

    >>> is_planar((1, 3, 32, 32)), is_planar((1, 32, 32, 3)), is_planar(("n", 3, "h", "w"))
    (True, False, True)
    """
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)


def pixels_of(shape: tuple[Any, ...]) -> tuple[Any, ...]:
    """Height, width and channels of what takes one image, in either layout."""
    return (*shape[2:], shape[1]) if is_planar(shape) else shape[1:]


def fed(
    path: Path, shape: tuple[Any, ...], images: NDArray[np.uint8], form: InputForm
) -> Iterable[NDArray[Any]]:
    """The prepared images one at a time, in the layout that a model's input has.

    Raises:
        InputError: the images are of another size, with both sizes.
    """
    import numpy as np

    wanted = pixels_of(shape)
    if images.ndim != 4 or not len(images) or images.shape[1:] != wanted:
        raise InputError(
            f"{path} takes images of shape {(1, *wanted)}, and was given {images.shape}",
            hint="decode the images at the size that the model was made for",
        )
    for image in batches(images, form):
        yield np.ascontiguousarray(image.transpose(0, 3, 1, 2)) if is_planar(shape) else image


def batches(images: NDArray[np.uint8], form: InputForm) -> Iterable[NDArray[Any]]:
    """The prepared images one at a time, as compiled models take them."""
    for i in range(len(images)):
        yield form.prepare(images[i : i + 1])
