"""quantize: static post-training int8, with each runtime's own quantiser.

Weights are symmetric int8 with one scale a channel; activations are calibrated on a stratified
part of the training split, never on the images that judge the result.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edgekit import stats
from edgekit.action import Context, Inputs
from edgekit.artifact import Artifact, Json
from edgekit.audit import audit
from edgekit.errors import DeviceError, InputError, Unsupported
from edgekit.measure import Candidate, measure
from edgekit.models import Card
from edgekit.runtimes.base import (
    Calibration,
    InputForm,
    Precision,
    Quantization,
    Runtime,
    Variant,
)
from edgekit.stages.base import RuntimeStage

TRIAL_IMAGES = 64
PLAIN_MARGIN_DB = 1.0
"""Plain int8 is preferred where it is no worse than this: an island costs time."""


class Quantize(RuntimeStage):
    images: ClassVar[Literal["train", "calibration"] | None] = "calibration"

    stage: Literal["quantize"] = "quantize"
    precision: Precision = "int8"
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
    islands: Literal["auto", "none"] = "auto"
    """`auto`: operators that int8 is known to break (a linear attention's division) stay in float
    where that helps the scores of calibration images."""
    max_float_macs: float = Field(0.05, ge=0, le=1)
    """Share of the multiply-accumulates that may stay in float, islands included."""

    def asked(self, runtime: Runtime, variant: Variant) -> Quantization:
        """What is asked of one runtime.

        Raises:
            InputError: the runtime does not offer the precision or the calibration method.
        """
        calibration = self.calibration
        if isinstance(calibration, dict):
            calibration = calibration.get(runtime.name)
        if calibration is not None and calibration not in runtime.calibrations:
            raise InputError(
                f"quantize.calibration: {runtime.name} does not offer {calibration}",
                hint=f"it offers {', '.join(runtime.calibrations)}; a mapping such as "
                f"{{{runtime.name}: {runtime.calibrations[0]}}} sets each runtime's own",
            )
        precision = variant.precision or self.precision
        if precision not in runtime.precisions:
            raise InputError(
                f"quantize.precision: {runtime.name} does not offer {precision}",
                hint=f"it offers {', '.join(runtime.precisions)}",
            )
        return Quantization(
            precision=precision,
            quantizer=variant.quantizer or runtime.quantizers[0],
            calibration=calibration or runtime.calibrations[0],
            percentile=self.percentile,
            per_channel=self.per_channel,
        )

    def settings_for(self, runtime: Runtime, variant: Variant) -> Json:
        shared = self.model_dump(
            mode="json", include={"stage", "method", "islands", "max_float_macs"}
        )
        return {**shared, **self.asked(runtime, variant).model_dump(mode="json")}

    def apply(
        self, runtime: Runtime, variant: Variant, inputs: Inputs, into: Path, context: Context
    ) -> Json:
        work = _Work(runtime, inputs["model"], inputs["calibration"], context)
        asked = self.asked(runtime, variant)
        islands = self._islands(work, asked)
        asked = asked.model_copy(update={"islands": islands.operators})
        form = work.quantize(asked, into)
        found = audit(runtime.describe(into / runtime.file))
        quantization = self._record(asked, len(work.images))
        return {
            **inputs["model"].metadata,
            "form": form.model_dump(mode="json"),
            "precision": asked.precision,
            "quantization": quantization,
            "islands": islands.model_dump(mode="json"),
            "audit": found.model_dump(mode="json"),
        }

    def _record(self, asked: Quantization, images: int) -> Json:
        """What was asked, as later steps and the manifest read it."""
        asked_for = asked.model_dump(mode="json")
        if asked.precision == "float16":  # weights alone change: no image is looked at
            asked_for |= {"calibration": None, "percentile": None, "islands": []}
            images = 0
        return {**asked_for, "max_float_macs": self.max_float_macs, "images": images}

    def _islands(self, work: _Work, asked: Quantization) -> Islands:
        """The operators to keep in float: those the rule names, unless plain int8 does as well."""
        named = () if self.islands == "none" or asked.precision != "int8" else work.candidates()
        if not named:
            return Islands(operators=())
        plain = work.try_out(asked)
        kept = work.score(asked.model_copy(update={"islands": named}))
        enough = plain.sqnr_db is not None and (
            kept.sqnr_db is None or plain.sqnr_db > kept.sqnr_db - PLAIN_MARGIN_DB
        )
        return Islands(operators=() if enough else named, plain=plain, with_islands=kept)


class Trial(BaseModel):
    """A model quantised to see what comes of it, judged on calibration images alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sqnr_db: float | None
    """Of its scores against the float model's, the median over images; None if it does not run."""
    images: int
    failure: str = ""


class Islands(BaseModel):
    """Operators that stay in float, and the two trials that decided it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operators: tuple[str, ...]
    plain: Trial | None = None
    with_islands: Trial | None = None


@dataclass(frozen=True)
class _Work:
    """A compiled float model and the images it is calibrated on."""

    runtime: Runtime
    model: Artifact
    calibration: Artifact
    context: Context

    @property
    def card(self) -> Card:
        return Card.model_validate(self.model.metadata["card"])

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        loaded: NDArray[np.uint8] = np.load(self.calibration.file("images.npy"))
        return loaded

    def candidates(self) -> tuple[str, ...]:
        return self.runtime.islands(self.model.file(self.runtime.file))

    def quantize(self, asked: Quantization, into: Path) -> InputForm:
        source, progress = self.model.file(self.runtime.file), self.context.progress
        return self.runtime.quantize(source, self.card, self.images, asked, into, progress)

    def try_out(self, asked: Quantization) -> Trial:
        """That a file does not run is a result here: int8 breaks some operators so."""
        try:
            return self.score(asked)
        except (DeviceError, Unsupported) as error:
            count = len(self.images[:TRIAL_IMAGES])
            return Trial(sqnr_db=None, images=count, failure=error.message)

    def score(self, asked: Quantization) -> Trial:
        """Quantise as asked, and hold the scores against the float model's.

        Raises:
            DeviceError, Unsupported: it cannot be made, or does not run.
        """
        images = self.images[:TRIAL_IMAGES]
        name, file = self.runtime.name, self.runtime.file
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder)
            np.save(into / "images.npy", images)
            form = self.quantize(asked, into)
            models = [
                Candidate("int8", name, into / file, form),
                Candidate("float", name, self.model.file(file), self._float_form()),
            ]
            outcome = measure(
                models,
                into / "images.npy",
                self.context.progress,
                score=("int8", "float"),
                latency=False,
            )
            scores = outcome.scores["float"], outcome.scores["int8"]
        if not np.isfinite(scores[1]).all():
            return Trial(sqnr_db=None, images=len(images), failure="NaN or infinite scores")
        return Trial(sqnr_db=round(stats.sqnr_db(*scores), 1), images=len(images))

    def _float_form(self) -> InputForm:
        return InputForm.model_validate(self.model.metadata["form"])
