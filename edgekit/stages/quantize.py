"""quantize: static post-training int8, with each runtime's own quantiser.

Weights are symmetric int8 with one scale a channel; activations are calibrated on a stratified
part of the training split, never on the images that judge the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from edgekit.engine.action import Context, Inputs
from edgekit.engine.artifact import Json
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import InputError
from edgekit.evaluation.file_audit import audit
from edgekit.evaluation.gates import Gates
from edgekit.quantization import ranges
from edgekit.quantization.auto import AutoResult, AutoSearch
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import (
    AppliedQuantization,
    CompiledMetadata,
    Correction,
    FloatOps,
)
from edgekit.runtimes.contract.settings import CalibrationMethod, Precision, Quantization, Variant
from edgekit.stages.base import MAX_SAMPLES, RuntimeStage

TRIAL_IMAGES = 64
MIN_HELD_BACK = 16
"""Images that can judge a trial: of fewer, one more that flips would look like a collapse."""
PLAIN_MARGIN_DB = 1.0
"""Plain int8 is preferred where it is no worse than this: operators in float cost time."""
SEARCHED_SETTINGS = ("calibration", "percentile", "corrections")
"""What `method: auto` finds by itself."""
SEARCH_SETTINGS = ("held_back", "stop_at", "mixed")
"""What nothing but `method: auto` reads."""


class Quantize(RuntimeStage):
    version: ClassVar[int] = 8
    renamed: ClassVar[Mapping[str, str]] = {"islands": "float_ops"}
    images: ClassVar[Literal["train", "calibration"] | None] = "calibration"

    stage: Literal["quantize"] = "quantize"
    precision: Precision = "int8"
    """`int8`, or `float16`, which halves the file and calibrates on nothing."""
    method: Literal["ptq", "auto"] = "ptq"
    """`ptq` quantises as the settings say. `auto` searches: ranges first, then corrections, then
    operators in float, each judged on images held back from the training side."""
    calibration: CalibrationMethod | dict[str, CalibrationMethod] | None = None
    """How activation ranges are found: one method, or one for each runtime; by default each
    runtime's own."""
    percentile: float = Field(99.99, gt=50, le=100)
    """For the percentile method: share of values the range must hold."""
    corrections: tuple[Correction, ...] = Field((), strict=False)
    """What is done to the float model first: equalise (scale channels between layers), smooth
    (SmoothQuant, behind a LayerNorm), adaround (round weights for the layer's output), bias (take
    the mean error of rounding from the biases). Models of timm only."""
    per_channel: bool = True
    """A scale for each output channel's weights, not one for each layer."""
    samples: int = Field(256, ge=1, le=MAX_SAMPLES)
    """Calibration images."""
    every_class: bool = True
    """Refuse to calibrate when a validated class has no calibration image."""
    held_back: int = Field(200, ge=MIN_HELD_BACK, le=MAX_SAMPLES)
    """With auto: images of the training side, none of them calibrated on, that judge each trial; by
    default fewer where there are fewer."""
    stop_at: float | None = Field(None, ge=1, le=100)
    """With auto: percent of the held-back images on which int8 must name the float model's class
    for the search to end; by default what the gates ask, and without gates all is tried."""
    mixed: Literal["auto", "none"] = "auto"
    """With auto: give operators back to float where the search does not reach `stop_at`."""
    float_ops: Literal["auto", "none"] = "auto"
    """`auto`: operators that int8 is known to break (a linear attention's division) stay in float
    where that helps the scores of images of the training side."""
    max_float_macs: float = Field(0.05, ge=0, le=1)
    """Share of the multiply-accumulates that may run in float, those of `float_ops` included."""

    @model_validator(mode="after")
    def _settings_agree(self) -> Quantize:
        if found := [*self._idle_settings(), *self._impossible_corrections()]:
            raise ValueError("; ".join(found))
        return self

    def _idle_settings(self) -> Iterator[str]:
        searches = self.method == "auto"
        names = SEARCHED_SETTINGS if searches else SEARCH_SETTINGS
        idle = ", ".join(name for name in names if name in self.model_fields_set)
        if searches and idle:
            yield f"method: auto finds {idle} by itself: remove the one"
        elif idle:
            yield f"{idle} is for method: auto alone"
        if searches and self.precision != "int8":
            yield f"method: auto searches for int8; {self.precision} has nothing to find"

    def _impossible_corrections(self) -> Iterator[str]:
        if self.corrections and self.precision != "int8":
            yield f"corrections are for int8, not for {self.precision}"
        if "adaround" in self.corrections and not self.per_channel:
            yield "adaround needs per_channel: true: its grid has a step a channel"

    def divided(self, images: int, classes: int) -> tuple[int, int]:
        if self.method != "auto":
            return self.samples, 0
        if images >= self.samples + self.held_back or "held_back" in self.model_fields_set:
            return self.samples, self.held_back
        samples = self.samples
        if "samples" not in self.model_fields_set:
            samples = max(classes, images * samples // (samples + self.held_back))
        held_back = images - samples
        return (samples, held_back) if held_back >= MIN_HELD_BACK else (self.samples, 0)

    @property
    def needs_source(self) -> bool:
        return self.method == "auto" or bool(self.corrections)

    def for_gates(self, gates: Gates) -> Quantize:
        """A model loses at most d points where 100 - d percent of the classes stay."""
        if self.method != "auto" or self.stop_at is not None:
            return self
        drop, agreement = gates.max_accuracy_drop, gates.min_agreement
        least = [agreement] if agreement is not None else []
        least += [100 - drop] if drop is not None else []
        return self.model_copy(update={"stop_at": max(least)}) if least else self

    def quantization_for(self, runtime: Runtime, variant: Variant) -> Quantization:
        """What is requested of one runtime.

        Raises:
            InputError: the runtime does not offer the precision or the calibration method.
        """
        quantizer = variant.quantizer or runtime.quantizers[0]
        precision = variant.precision or self.precision
        if precision not in runtime.precisions:
            raise InputError(
                f"quantize.precision: {runtime.name} does not offer {precision}",
                hint=f"it offers {', '.join(runtime.precisions)}",
            )
        return Quantization(
            precision=precision,
            quantizer=quantizer,
            calibration=self._calibration_on(runtime, quantizer),
            percentile=self.percentile,
            per_channel=self.per_channel,
        )

    def _calibration_on(self, runtime: Runtime, quantizer: str) -> CalibrationMethod:
        offered = [*runtime.calibrations]
        if quantizer == runtime.quantizers[0]:  # another one takes no ranges from elsewhere
            offered += [name for name in ranges.METHODS if name not in offered]
        requested = self.calibration
        if isinstance(requested, dict):
            requested = requested.get(runtime.name)
        if requested is None:
            return runtime.calibrations[0]
        if requested not in offered:
            raise InputError(
                f"quantize.calibration: {runtime.name} does not offer {requested}",
                hint=f"it offers {', '.join(offered)}; a mapping such as "
                f"{{{runtime.name}: {offered[0]}}} sets each runtime's own",
            )
        return requested

    def settings_for(self, runtime: Runtime, variant: Variant) -> Json:
        requested = self.quantization_for(runtime, variant)
        own = {"stage", "max_float_macs"}
        if requested.precision == "int8":
            own |= {"method", "corrections", "float_ops"}
            own |= {*SEARCH_SETTINGS} if self.method == "auto" else set()
        # What is requested names no operators yet: `float_ops` is the setting.
        fields = requested.model_dump(mode="json", exclude={"ranges", "float_ops"})
        return {**self.model_dump(mode="json", include=own), **fields}

    def apply(
        self, runtime: Runtime, variant: Variant, inputs: Inputs, into: Path, context: Context
    ) -> CompiledMetadata:
        requested = self.quantization_for(runtime, variant)
        int8 = requested.precision == "int8"
        config = QuantizationConfig(
            quantization=requested, corrections=self.corrections if int8 else ()
        )
        found: AutoResult | None = None
        with _trials(runtime, inputs, context) as trials:
            float_ops = self._float_ops(trials, config)
            config = config.keep_in_float(float_ops.operators)
            if self._searches(inputs) and int8:
                found = self._auto(trials).run(config.quantization)
                config = found.config
            form = trials.quantize(config, into)
            images = len(trials.images)
        read = audit(runtime.describe(into / runtime.file))
        metadata = inputs["model"].described_by(CompiledMetadata)
        return metadata.updated(
            form=form,
            precision=requested.precision,
            quantization=self._record(config, images, inputs),
            float_ops=float_ops,
            search=found.search if found else None,
            mixed=found.mixed if found else None,
            audit=read,
        )

    def _searches(self, inputs: Inputs) -> bool:
        """Whether there are images to judge what a search tries."""
        return self.method == "auto" and "held_back" in inputs

    def _auto(self, trials: QuantizationTrials) -> AutoSearch:
        return AutoSearch(
            trials=trials,
            stop_at=self.stop_at,
            max_float_macs=self.max_float_macs,
            mixes=self.mixed == "auto",
        )

    def _record(
        self, config: QuantizationConfig, images: int, inputs: Inputs
    ) -> AppliedQuantization:
        """What was requested, as later steps and the manifest read it."""
        requested = config.quantization
        looks = requested.precision != "float16"  # else weights alone change: no image is seen
        return AppliedQuantization(
            precision=requested.precision,
            quantizer=requested.quantizer,
            calibration=requested.calibration if looks else None,
            percentile=requested.percentile if looks else None,
            per_channel=requested.per_channel,
            float_ops=requested.float_ops if looks else (),
            corrections=config.corrections,
            max_float_macs=self.max_float_macs,
            images=images if looks else 0,
            unjudged=self.method == "auto" and looks and not self._searches(inputs),
        )

    def _float_ops(self, trials: QuantizationTrials, config: QuantizationConfig) -> FloatOps:
        """The operators to keep in float: those the rule names, unless plain int8 does as well."""
        int8 = config.quantization.precision == "int8"
        source = trials.compiled.file(trials.runtime.file)
        named = trials.runtime.float_ops(source) if self.float_ops == "auto" and int8 else ()
        if not named:
            return FloatOps(operators=())
        plain = trials.try_out(config)
        # Not `try_out`: what the rule names must run, and where it does not, the reason is told.
        kept = trials.judge(config.keep_in_float(named))
        enough = plain.sqnr_db is not None and (
            kept.sqnr_db is None or plain.sqnr_db > kept.sqnr_db - PLAIN_MARGIN_DB
        )
        return FloatOps(operators=() if enough else named, plain=plain, keep_in_float=kept)


@contextmanager
def _trials(runtime: Runtime, inputs: Inputs, context: Context) -> Iterator[QuantizationTrials]:
    """Calibration images judge too where none are held back: they choose between two forms."""
    images = np.load(inputs["calibration"].file("images.npy"))
    held: Any = inputs.get("held_back")
    judged = np.load(held.file("images.npy")) if held else images[:TRIAL_IMAGES]
    with temporary_folder() as folder:
        yield QuantizationTrials(
            runtime=runtime,
            compiled=inputs["model"],
            source=inputs.get("source"),
            images=images,
            judged=judged,
            folder=folder,
            report=context.progress,
        )
