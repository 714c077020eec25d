"""One layer of a network, as a runtime is asked to time it."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Layer(BaseModel):
    """A convolution at one place of a network; a linear layer is one of 1 x 1 on its rows.

    Its output is (height / stride, width / stride), rounded up, as of padding that keeps the size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["conv", "depthwise", "frame"]
    """`frame` is no layer: what a probe costs before and after the layer it is made for."""
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
