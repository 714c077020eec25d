"""The contract of a runtime: compile a torch model, quantise it, bake the input in, describe it.

Every compiled model takes one NHWC image, [1, height, width, 3], and returns scores of shape
[1, classes] as float32, so that code on the device is the same for every runtime. Until `bake`
the input is float32, already normalised; afterwards it is raw uint8 RGB.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from edgekit.models import Card, Triple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Calibration = Literal["minmax", "moving_average", "percentile", "entropy"]
Progress = Callable[[int, int, str], None]


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


class Quantization(BaseModel):
    """What the quantize stage asks of a runtime."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibration: Calibration = "minmax"
    percentile: float = 99.99
    per_channel: bool = True


class Operator(BaseModel):
    """One operator of the graph that really runs, after the runtime's own fusing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    precision: str
    """int8, float32, ...: the type of its arithmetic."""
    heavy: bool
    """Convolutions and matrix products: where the time goes."""


class Port(BaseModel):
    """An input or output of a model file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, ...]
    dtype: str


class Description(BaseModel):
    """What is inside a model file, read from the file and from the runtime that loads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Port
    output: Port
    operators: tuple[Operator, ...]
    per_channel: bool
    """Weights have one scale for each output channel."""
    outside_delegate: tuple[str, ...] = ()
    """Operators that the runtime's fast path (XNNPACK) does not take."""

    @property
    def float_heavy(self) -> list[str]:
        """Names of convolutions and matrix products that still run in float."""
        return [o.name for o in self.operators if o.heavy and o.precision.startswith("float")]

    def count(self) -> dict[str, int]:
        return dict(Counter(f"{o.kind} {o.precision}" for o in self.operators))


class Runtime(ABC):
    """One runtime. Heavy libraries are imported inside the methods."""

    version: ClassVar[int] = 1
    """Raise it whenever the same input would give another file."""
    name: ClassVar[str]
    file: ClassVar[str]
    """The model's file name, e.g. model.onnx."""
    libraries: ClassVar[tuple[str, ...]]
    """Distributions whose versions change what compile, quantize and bake give."""
    engine: ClassVar[str]
    """The distribution that runs the model on the device."""
    calibrations: ClassVar[tuple[Calibration, ...]]
    """The calibration methods it offers, its default first."""
    example: ClassVar[str]
    """A program of ten lines that runs the shipped file with numpy and the runtime alone."""

    @abstractmethod
    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        """Compile a torch model (NCHW, normalised input) in float32 to `into / self.file`."""

    @abstractmethod
    def quantize(
        self,
        source: Path,
        card: Card,
        images: NDArray[np.uint8],
        settings: Quantization,
        into: Path,
        progress: Progress,
    ) -> InputForm:
        """Static int8: symmetric int8 weights, activations calibrated on `images`.

        Args:
            source: a float32 model that `compile` made.
            images: uint8 (images, height, width, 3), never from the validation split.

        Returns:
            the form of the input, which is that of the pixel grid where there is one.
        """

    @abstractmethod
    def bake(
        self, source: Path, card: Card, form: InputForm, labels: tuple[str, ...], into: Path
    ) -> None:
        """Make the model take raw uint8 RGB; put labels and preprocessing into the file.

        Where the quantised input is a pixel grid nothing is added to the graph; otherwise the
        normalisation is put in front, in float.
        """

    @abstractmethod
    def describe(self, path: Path) -> Description:
        """Read a model file back: what it takes, gives, and which operators run in what."""


def preprocessing(card: Card, form: InputForm, labels: tuple[str, ...]) -> dict[str, Any]:
    """What a shipped file says of itself: how an image must be cut, and what it does inside."""
    facts = card.model_dump(mode="json", include={"image_size", "crop_pct"})
    facts |= form.model_dump(mode="json", include={"mean", "std"})
    return {**facts, "layout": "NHWC", "colour": "RGB", "dtype": "uint8", "classes": labels}


def batches(images: NDArray[np.uint8], form: InputForm) -> Iterable[NDArray[Any]]:
    """The prepared images one at a time, as compiled models take them."""
    for i in range(len(images)):
        yield form.prepare(images[i : i + 1])
