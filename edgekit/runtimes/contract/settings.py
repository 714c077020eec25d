"""What a recipe and a target ask of a runtime: variants, precisions, quantisation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.runtimes.contract.input_form import Io

CalibrationMethod = Literal["minmax", "moving_average", "percentile", "entropy", "mse"]
Precision = Literal["int8", "int16x8", "float16"]
"""int16x8: 16-bit activations and 8-bit weights, which TensorFlow Lite calls 16x8."""
Method = Literal["ptq", "auto"]
"""Of quantisation: as the settings say, or searched for."""


class Variant(BaseModel):
    """One way to make a model for a target: a runtime, and how its file is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    runtime: str
    """Its name."""
    precision: Precision | None = None
    """Instead of the precision that the recipe's quantize stage names."""
    quantizer: str | None = None
    """Instead of the runtime's own quantiser."""
    via: str | None = None
    """Another runtime, whose int8 file this one takes over."""
    io: Io = "uint8"
    """What its file takes: raw pixels (`uint8`), normalised floats (`float`), or raw pixels with
    integers throughout (`integer`)."""

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
