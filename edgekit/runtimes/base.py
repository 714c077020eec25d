"""The contract of a runtime: compile a torch model, quantise it, bake the input in, describe it.

Every compiled model takes one NHWC image, [1, height, width, 3], and returns scores of shape
[1, classes] as float32, so that code on the device is the same for every runtime. Until `bake`
the input is float32, already normalised; afterwards it is raw uint8 RGB.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from edgekit.engine.action import Progress as Progress
from edgekit.errors import EdgekitError, InputError, Unsupported, storage_errors
from edgekit.models.card import Card
from edgekit.models.source import Format, Triple
from edgekit.runtimes._layer import Layer as Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CalibrationMethod = Literal["minmax", "moving_average", "percentile", "entropy", "mse"]
Precision = Literal["int8", "float16"]
Work = Literal["conv", "depthwise", "dense", "product"]
"""What multiply-accumulates are made of: `dense` are 1 x 1 convolutions and linear layers, and
`product` is of two computed tensors, as in attention."""
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


class Variant(BaseModel):
    """One way to make a model for a target: a runtime, and how its file is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    runtime: str
    precision: Precision | None = None
    """Instead of the precision that the recipe's quantize stage names."""
    quantizer: str | None = None
    """Instead of the runtime's own quantiser."""
    via: str | None = None
    """Another runtime, whose int8 file this one takes over."""
    io: Io = "uint8"

    @property
    def name(self) -> str:
        """litert, openvino-float16, openvino-via-onnxruntime, ...: names its folder."""
        io = None if self.io == "uint8" else self.io
        via = self.via and f"via-{self.via}"
        return "-".join(filter(None, (self.runtime, self.precision, self.quantizer, via, io)))


class Quantization(BaseModel):
    """What the quantize stage asks of a runtime."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision = "int8"
    quantizer: str
    """One of the runtime's `quantizers`."""
    calibration: CalibrationMethod = "minmax"
    percentile: float = 99.99
    per_channel: bool = True
    float_ops: tuple[str, ...] = ()
    """Names of operators of the compiled float model that stay in float."""
    ranges: dict[str, tuple[float, float]] | None = None
    """The real values that each tensor's codes span, by its name in the compiled float model, in
    place of the library's own calibration; a tensor that is not named gets the library's."""


class Operator(BaseModel):
    """One operator of the graph that really runs, after the runtime's own fusing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    written: str = ""
    """What `Quantization.float_ops` calls it: its name in the file, before anything is fused. Empty
    where the file has no such operator."""
    precision: str
    """int8, float32, ...: the type of its arithmetic."""
    heavy: bool
    """Convolutions and matrix products: where the time goes."""
    macs: int = 0
    """Multiply-accumulates for one image; 0 but for heavy operators."""
    work: Work | None = None
    """None but for heavy operators."""
    weights: int = 0
    """Bytes of the constants it reads."""
    moved: int = 0
    """Bytes of the activations it reads and writes for one image, as far as the file tells."""

    @property
    def is_integer(self) -> bool:
        return self.precision.startswith(("int", "uint"))


class Activation(BaseModel):
    """A tensor that depends on the image, the operator that makes it, and its codes, if it has
    any. It is called as in `Runtime.tensors`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    operator: str
    """What `Quantization.float_ops` calls its maker; empty for the image."""
    layer: str
    """The maker for a person to read."""
    kind: str
    inputs: tuple[str, ...]
    """Names of the activations that the maker reads; constants are none."""
    has_weights: bool
    """The maker is a convolution or a matrix product with weights that are in the file."""
    low: float | None = None
    high: float | None = None
    """The numbers that its lowest and its highest code stand for; None where it is in float."""
    step: float | None = None
    """Between two codes."""


class Port(BaseModel):
    """An input or output of a model file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    """Of codes: a code stands for scale * (code - zero_point). None for numbers."""


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
    conversions: tuple[str, ...] = ()
    """Quantise and dequantise operators that still run between others: what did not fuse."""
    transposes: tuple[str, ...] = ()
    """Operators that only move data to another layout."""

    @property
    def float_heavy(self) -> list[str]:
        """Names of convolutions and matrix products that do not run in integers."""
        return [o.name for o in self.operators if o.heavy and not o.is_integer]

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
    companions: ClassVar[tuple[str, ...]] = ()
    """Files that must lie beside `file`, e.g. its weights."""
    blob: ClassVar[str | None] = None
    """What `precompile` writes, where the runtime can compile ahead for a device."""
    devices: ClassVar[tuple[str, ...]] = ("CPU",)
    """What it can run on, in a target's words."""
    engines: ClassVar[tuple[str, ...]] = ()
    """Older libraries that run its files, of which `refusals` knows what they take."""
    reads: ClassVar[tuple[Format, ...]] = ("torch",)
    """The forms of a float model that `compile` takes."""
    adopts: ClassVar[tuple[str, ...]] = ()
    """Runtimes whose int8 files it can run as well, by way of `adopt`."""
    gains_from: ClassVar[tuple[str, ...]] = ()
    """Patterns of zeros in the weights, as `sparsify` names them, that it was measured to be faster
    with (tests/benchmarks/sparsity.py)."""
    precisions: ClassVar[tuple[Precision, ...]] = ("int8",)
    quantizers: ClassVar[tuple[str, ...]]
    """The libraries that can quantise for it, its default first."""
    channel_axis: ClassVar[int] = 1
    """Of the channels in a tensor of four dimensions; in any other it is the last one."""
    calibrations: ClassVar[tuple[CalibrationMethod, ...]]
    """The calibration methods of its default quantiser's own, its default first; the others of
    `ranges.METHODS` reach it as `Quantization.ranges`."""
    corrects_bias: ClassVar[bool] = False
    """Its default quantiser mends the mean error that rounding leaves in a layer's output."""
    example: ClassVar[str]
    """A program of ten lines that runs the shipped file with numpy and the runtime alone."""

    @abstractmethod
    def compile(self, model: Any, card: Card, into: Path, progress: Progress) -> InputForm:
        """Compile a float model in float32 to `into / self.file`.

        Args:
            model: a torch model (NCHW, normalised input); or, of another format in `reads`, the
                path of the .onnx file or the Keras model.

        Raises:
            Unsupported: an operator that this runtime's converter does not know.
        """

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
        """Static int8: symmetric int8 weights, activations calibrated on `images`; or float16
        weights, for which no image is read.

        Args:
            source: a float32 model that `compile` made.
            images: uint8 (images, height, width, 3), never from the validation split.

        Returns:
            the form of the input, which is that of the pixel grid where there is one.
        """

    @abstractmethod
    def bake(
        self,
        source: Path,
        card: Card,
        form: InputForm,
        labels: tuple[str, ...],
        into: Path,
        io: Io = "uint8",
    ) -> None:
        """Give the model the input and output it ships with; put labels and preprocessing into
        the file.

        Where the quantised input is a pixel grid, taking uint8 adds nothing to the graph; otherwise
        the normalisation is put in front, in float.

        Raises:
            Unsupported: this runtime or this model cannot have such an input or output.
        """

    def float_ops(self, source: Path) -> tuple[str, ...]:
        """Operators of a compiled float model that int8 is known to break, by rule.

        The rule is about linear attention, softmax(QK)V without the softmax: its normaliser
        divides by a sum of products, which the eight bits of a code can bring down to zero. Every
        operator between the convolutions that make Q, K and V and the division is one island.
        """
        return ()

    def adopt(self, source: Path, into: Path) -> None:
        """Take over an int8 file of one of the runtimes in `adopts`, before it is baked."""
        raise NotImplementedError

    def precompile(self, path: Path, device: str, into: Path) -> dict[str, str]:
        """Compile a shipped file for a device of this machine, to `into / self.blob`.

        Returns:
            the device's name and the versions of its driver and compiler, which the blob is tied
            to.

        Raises:
            DeviceError: the device does not take the file.
        """
        raise NotImplementedError

    def refusals(self, path: Path, device: str, engine: str | None) -> tuple[str, ...]:
        """Why a shipped file would not run on a device, read from the file alone; one line each.

        Args:
            device: what the target says of itself, e.g. CPU or NPU.
            engine: an older library that runs it there, with its version, e.g.
                `tflite-runtime==2.14.0`.
        """
        return ()

    @abstractmethod
    def describe(self, path: Path) -> Description:
        """Read a model file back: what it takes, gives, and which operators run in what."""

    @abstractmethod
    def activations(self, path: Path) -> tuple[Activation, ...]:
        """What `tensors` gives for a file, as far as the file itself tells, in the same order."""

    @abstractmethod
    def weights(self, path: Path) -> dict[str, NDArray[np.float32]]:
        """The weights of every layer, real values, by the layer's operator; what stands for them
        in a compressed file. Their shape and layout are the file's own."""

    @abstractmethod
    def tensors(
        self, path: Path, form: InputForm, images: NDArray[np.uint8]
    ) -> Iterator[dict[str, NDArray[np.float32]]]:
        """For each image, what every operator made, in the order they run: real values (codes
        turned into what they stand for), by the name the tensor has in the float file that
        `compile` made.

        The normalised image is among them, under the input's name. Tensors that a quantised file
        fused away are missing; what it computes besides has names of its own. One image's tensors
        are held at a time.

        Args:
            path: a file left by compile, quantize or bake.
            form: of that file's input; raw pixels for a baked one.
            images: uint8 (images, height, width, 3).

        Raises:
            InputError: images of another size than the model takes.
            EdgekitError: the file cannot be loaded.
            DeviceError: an operator stops at an image, as an int8 division by zero does.
        """

    @abstractmethod
    def probe(self, layer: Layer, integer: bool, into: Path) -> None:
        """Write a model of one layer to `into / self.file`, to learn how long that layer takes.

        It takes uint8 [1, 1, 1, 1] and gives one value, so that next to nothing is copied.

        Args:
            integer: int8 weights and 8-bit activations, as `quantize` makes them; else float32.
        """


def preprocessing(
    card: Card, form: InputForm, labels: tuple[str, ...], io: Io = "uint8"
) -> dict[str, Any]:
    """What a shipped file says of itself: how an image must be cut, and what it does inside."""
    facts = card.model_dump(mode="json", include={"image_size", "crop_pct"})
    facts |= form.model_dump(mode="json", include={"mean", "std"})
    dtype = "float32" if io == "float" else "uint8"
    return {**facts, "layout": "NHWC", "colour": "RGB", "dtype": dtype, "classes": labels}


def check_size(path: Path, shape: tuple[int, ...], images: NDArray[np.uint8]) -> None:
    """Refuse images of another size than the model takes, [1, height, width, 3].

    Raises:
        InputError: with both sizes.
    """
    if images.ndim != 4 or not len(images) or images.shape[1:] != shape[1:]:
        raise InputError(
            f"{path} takes images of shape {shape}, and was given {images.shape}",
            hint="decode the images at the size that the model was made for",
        )


def batches(images: NDArray[np.uint8], form: InputForm) -> Iterable[NDArray[Any]]:
    """The prepared images one at a time, as compiled models take them."""
    for i in range(len(images)):
        yield form.prepare(images[i : i + 1])


@contextmanager
def library_errors(runtime: Runtime, step: str, into: Path) -> Iterator[None]:
    """What a runtime's library raises, in whatever way, is that this model cannot be built for it:
    it ends one variant, and the other variants and targets go on."""
    try:
        with storage_errors(into):
            yield
    except (EdgekitError, OSError, MemoryError):
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise Unsupported(
            f"{runtime.name} cannot {step} this model: {type(error).__name__}: {first}",
            hint="--debug shows where its library stopped; another architecture or runtime may do",
        ) from error
