"""The second contract of a runtime: read its files back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from edgekit.runtimes.contract.description import Activation, Description
from edgekit.runtimes.contract.identity import Identity
from edgekit.runtimes.contract.input_form import InputForm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Reader(Identity, ABC):
    """Tells what a file holds and computes, and where it would not run."""

    channel_axis: ClassVar[int] = 1
    """Of the channels in a tensor of four dimensions; in any other it is the last one."""
    older_engines: ClassVar[tuple[str, ...]] = ()
    """Older libraries that run its files, of which `unsupported_reasons` knows what they take."""
    names_suspects: ClassVar[bool] = False
    """Its `describe` says which operators int8 may slow down (`Operator.is_suspect`)."""

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
    def float_ops(self, source: Path) -> tuple[str, ...]:
        """Operators of a compiled float model that int8 is known to break, by rule.

        The rule is about linear attention, softmax(QK)V without the softmax: its normaliser
        divides by a sum of products, which the eight bits of a code can bring down to zero. Every
        operator between the convolutions that make Q, K and V and the division stays in float.
        """

    def unsupported_reasons(self, path: Path, device: str, engine: str | None) -> tuple[str, ...]:
        """Why a shipped file would not run on a device, read from the file alone; one line each.

        Args:
            device: what the target says of itself, e.g. CPU or NPU.
            engine: an older library that runs it there, with its version, e.g.
                `tflite-runtime==2.14.0`.
        """
        return ()
