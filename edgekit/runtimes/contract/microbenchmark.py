"""The third contract of a runtime: models of one layer, to learn how long that layer takes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.runtimes.contract.identity import Identity


class Layer(BaseModel):
    """A convolution at one place of a network; a linear layer is one of 1 x 1 on its rows.

    Its output is (height / stride, width / stride), rounded up, as of padding that keeps the size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["conv", "depthwise", "frame"]
    """`frame` is no layer: what a model of one layer costs before and after that layer."""
    kernel: int = 1
    stride: int = 1
    height: int
    width: int
    cin: int
    cout: int

    @property
    def out_pixels(self) -> int:
        return math.ceil(self.height / self.stride) * math.ceil(self.width / self.stride)

    @property
    def weights(self) -> int:
        return self.kernel**2 * self.cout * (1 if self.kind == "depthwise" else self.cin)

    @property
    def macs(self) -> int:
        return self.out_pixels * self.weights


class Microbenchmark(Identity, ABC):
    """Writes models of a single layer."""

    @abstractmethod
    def single_layer_model(self, layer: Layer, integer: bool, into: Path) -> None:
        """Write a model of one layer to `into / self.file`.

        It takes uint8 [1, 1, 1, 1] and gives one value, so that next to nothing is copied.

        Args:
            integer: int8 weights and 8-bit activations, as `quantize` makes them; else float32.
        """
