"""quantize: static post-training int8, with each runtime's own quantiser.

Weights are symmetric int8 with one scale a channel; activations are calibrated on a stratified
part of the training split, never on the images that judge the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from edgekit.action import Context, Inputs
from edgekit.artifact import Json
from edgekit.errors import InputError, NotAsAsked
from edgekit.models import Card
from edgekit.runtimes.base import Calibration, Quantization, Runtime
from edgekit.stages.base import RuntimeStage


class Quantize(RuntimeStage):
    images: ClassVar[Literal["train", "calibration"] | None] = "calibration"

    stage: Literal["quantize"] = "quantize"
    precision: Literal["int8"] = "int8"
    method: Literal["ptq"] = "ptq"
    calibration: Calibration | dict[str, Calibration] | None = None
    """How activation ranges are found: one method, or one for each runtime; by default each
    runtime's own."""
    percentile: float = Field(99.99, gt=50, le=100)
    """For the percentile method: share of values the range must hold."""
    per_channel: bool = True
    samples: int = Field(256, ge=1)
    """Calibration images."""
    every_class: bool = True
    """Refuse to calibrate when a validated class has no calibration image."""

    def for_runtime(self, runtime: Runtime) -> Quantization:
        """What is asked of one runtime.

        Raises:
            InputError: the runtime does not offer the calibration method.
        """
        asked = self.calibration
        if isinstance(asked, dict):
            asked = asked.get(runtime.name)
        if asked is not None and asked not in runtime.calibrations:
            raise InputError(
                f"quantize.calibration: {runtime.name} does not offer {asked}",
                hint=f"it offers {', '.join(runtime.calibrations)}; a mapping such as "
                f"{{{runtime.name}: {runtime.calibrations[0]}}} sets each runtime's own",
            )
        return Quantization(
            calibration=asked or runtime.calibrations[0],
            percentile=self.percentile,
            per_channel=self.per_channel,
        )

    def settings_for(self, runtime: Runtime) -> Json:
        shared = self.model_dump(mode="json", include={"stage", "precision", "method"})
        return {**shared, **self.for_runtime(runtime).model_dump(mode="json")}

    def apply(self, runtime: Runtime, inputs: Inputs, into: Path, context: Context) -> Json:
        model = inputs["model"]
        card = Card.model_validate(model.metadata["card"])
        images = np.load(inputs["calibration"].file("images.npy"))
        settings = self.for_runtime(runtime)
        source = model.file(runtime.file)
        form = runtime.quantize(source, card, images, settings, into, context.progress)
        description = runtime.describe(into / runtime.file)
        left = description.float_heavy
        if left or description.per_channel != self.per_channel:
            raise NotAsAsked(
                f"quantize asked {runtime.name} for int8 and got float in {len(left)} "
                f"convolutions or matrix products: {', '.join(left[:5])}"
                if left
                else f"quantize asked {runtime.name} for per_channel: {self.per_channel} and got "
                f"per_channel: {description.per_channel}",
                hint="another calibration or architecture may help; "
                "the last stage that passed is kept",
            )
        return {
            **model.metadata,
            "form": form.model_dump(mode="json"),
            "precision": self.precision,
            "quantization": {**settings.model_dump(mode="json"), "images": len(images)},
            "operators": description.count(),
        }
