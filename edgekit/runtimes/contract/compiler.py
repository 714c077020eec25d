"""The first contract of a runtime: make its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekit.engine.action import Progress
from edgekit.models.card import Card
from edgekit.models.source import Format
from edgekit.runtimes.contract.identity import Identity
from edgekit.runtimes.contract.input_form import InputForm, Io
from edgekit.runtimes.contract.settings import CalibrationMethod, Precision, Quantization

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Compiler(Identity, ABC):
    """Compiles a float model, quantises it, and gives it the input and output it ships with."""

    reads: ClassVar[tuple[Format, ...]] = ("torch",)
    """The forms of a float model that `compile` takes."""
    precisions: ClassVar[tuple[Precision, ...]] = ("int8",)
    quantizers: ClassVar[tuple[str, ...]]
    """The libraries that can quantise for it, its default first."""
    calibrations: ClassVar[tuple[CalibrationMethod, ...]]
    """The calibration methods of its default quantiser's own, its default first; the others of
    `ranges.METHODS` reach it as `Quantization.ranges`."""
    calibrates_slowly: ClassVar[bool] = False
    """Its default quantiser is given `Quantization.ranges` whatever the method: found outside,
    they cost a fraction of the time."""

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
        """Static int8 or int16x8: symmetric int8 weights, activations of 8 or 16 bits calibrated on
        `images`; or float16 weights, for which no image is read.

        Args:
            source: a float32 model that `compile` made.
            images: uint8 (images, height, width, 3), never from the validation split.

        Returns:
            the form of the input, which is that of the pixel grid where there is one.

        Raises:
            Unsupported: a precision, a calibration or ranges that this runtime does not offer.
            InputError: images of another size, or `float_ops` that the model does not have.
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
            InputError: not as many labels as scores.
            EdgekitError: the source is baked already, or cannot be read.
        """
