"""What is inside a model file: its operators, its ports and its activations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.errors import EdgekitError

Work = Literal["conv", "depthwise", "dense", "product"]
"""What multiply-accumulates are made of: `dense` are 1 x 1 convolutions and linear layers, and
`product` is of two computed tensors, as in attention."""

WIDE_CODES = ("int16", "uint16")


class Operator(BaseModel):
    """One operator of the graph that really runs, after the runtime's own fusing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    written: str = ""
    """What `Quantization.float_ops` calls it: its name in the file, before anything is fused. Empty
    where the file has no such operator."""
    precision: str
    """int8, float32, ...: the type of its arithmetic; int16x8 is that of 16-bit activations and
    8-bit weights."""
    stored: str = ""
    """The type that its weights have in the file, whatever a runtime makes of them when it loads
    it; empty where it has none."""
    reads: str = ""
    """The type of the codes that stand for its first input in the file; empty where none do, and
    but for heavy operators."""
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
    is_suspect: bool = False
    """In int8 it may be slower than in float, as the runtime's fast path (XNNPACK) does not take it
    or has no int8 kernel of its own for it. Timing tells."""

    @property
    def is_integer(self) -> bool:
        return self.precision.startswith(("int", "uint"))

    @property
    def is_between_wide_codes(self) -> bool:
        """It computes in float what 16-bit codes and its int8 weights stand for."""
        return self.reads in WIDE_CODES and self.stored in ("", "int8") and not self.is_integer


class Activation(BaseModel):
    """A tensor that depends on the image, the operator that makes it, and its codes, if it has
    any. It is called as in `Reader.tensors`."""

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


def only(names: Sequence[str], path: Path) -> None:
    """Refuse a file that takes more than an image.

    Raises:
        EdgekitError: with the names of its inputs.
    """
    if len(names) != 1:
        raise EdgekitError(
            f"{path} has {len(names)} inputs ({', '.join(names) or 'none'}), one expected",
            hint="export the part that goes from one image to one row of scores",
        )


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
