"""quantize: to integers after training, with each runtime's own quantiser, searched by default.

Weights are symmetric int8 with one scale a channel; activations are calibrated on a stratified
part of the training split, never on the images that judge the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from edgekit.engine.action import Context, Inputs
from edgekit.engine.artifact import Json
from edgekit.evaluation.file_audit import audit
from edgekit.evaluation.gates import Gates
from edgekit.evaluation.measure import HERE
from edgekit.evaluation.timing import Machine
from edgekit.quantization.auto import AutoResult, AutoSearch
from edgekit.quantization.float_by_time import FloatByTimeSearch
from edgekit.quantization.float_rule import float_ops_by_rule
from edgekit.quantization.ptq_search import calibration_for, ranges_for, refuse_precision
from edgekit.quantization.stop_criterion import AGREEMENT, StopCriterion
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials, trials_of
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import (
    AppliedQuantization,
    CompiledMetadata,
    Correction,
    FloatOps,
)
from edgekit.runtimes.contract.settings import (
    CalibrationMethod,
    Method,
    Precision,
    Quantization,
    Variant,
)
from edgekit.stages.base import MAX_SAMPLES, RuntimeStage, Where

MIN_HELD_BACK = 16
"""Images that can judge a trial: of fewer, one more that flips would look like a collapse."""
SEARCHED_SETTINGS = ("calibration", "percentile", "corrections")
"""What `method: auto` finds by itself."""
SEARCH_SETTINGS = ("held_back", "stop_at", "max_drop", "mixed", "effort")
"""What nothing but `method: auto` reads."""


class Quantize(RuntimeStage):
    version: ClassVar[int] = 10
    renamed: ClassVar[Mapping[str, str]] = {"islands": "float_ops"}
    images: ClassVar[Literal["train", "calibration"] | None] = "calibration"

    stage: Literal["quantize"] = "quantize"
    precision: Precision = "int8"
    """`int8`; `int16x8`, the same weights with 16-bit activations, to find out why int8 loses: slow
    on CPUs; or `float16`, which halves the file and calibrates on nothing."""
    method: Method = "auto"
    """`auto` searches, until what is asked holds: ranges first, then corrections, then operators in
    float, each judged on images held back from the training side. `ptq` quantises once, as the
    settings say; it is meant where calibration, corrections or another precision is set and method
    is not."""
    calibration: CalibrationMethod | dict[str, CalibrationMethod] | None = None
    """How activation ranges are found: one method, or one for each runtime; by default each
    runtime's own."""
    percentile: float = Field(99.99, gt=50, le=100)
    """With `calibration: percentile`: percent of the values that the range must hold."""
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
    for the search to end; by default what `min_agreement` asks, 98.5 without a gate, and of a gate
    of d points 100 - d, at most 98.5."""
    max_drop: float | None = Field(None, ge=0)
    """With auto: points of top-1 that may be lost on these images; by default what the gate
    `max_accuracy_drop` allows, and without one no significant loss."""
    mixed: Literal["auto", "none"] = "auto"
    """With auto: operators go to float where int8 does not hold what is asked, or is slower."""
    effort: Literal["full", "ranges"] = "full"
    """With auto: `ranges` tries ranges alone, which costs seconds each: no corrections, and no
    operators in float but those of `float_ops`."""
    float_ops: Literal["auto", "none"] = "auto"
    """`auto`: operators that int8 is known to break (a linear attention's division) stay in float
    where that helps the scores of images of the training side."""
    max_float_macs: float = Field(0.05, ge=0, le=1)
    """Share of the multiply-accumulates that may run in float, those of `float_ops` included."""

    on: Where = "host"
    """With auto and `mixed`: where it is timed whether int8 is slower: on the machine that builds,
    or, with `target`, by estimates for the target's core, a Raspberry Pi's
    (docs/arm-estimate.md)."""
    _machine: Machine = PrivateAttr(HERE)

    @model_validator(mode="before")
    @classmethod
    def _with_method(cls, fields: Any) -> Any:
        """Who says how to quantise does not want it searched."""
        if not isinstance(fields, dict) or "method" in fields:
            return fields
        chosen = any(fields.get(name) for name in SEARCHED_SETTINGS)
        plain = chosen or fields.get("precision") in ("int16x8", "float16")
        return {**fields, "method": "ptq"} if plain else fields

    @model_validator(mode="after")
    def _settings_agree(self) -> Quantize:
        idle = (*self._idle_settings(), *self._idle_percentile())
        if found := [*idle, *self._impossible_corrections()]:
            raise ValueError("; ".join(found))
        return self

    def _idle_settings(self) -> Iterator[str]:
        searches = self.method == "auto"
        names = SEARCHED_SETTINGS if searches else SEARCH_SETTINGS
        given = self.model_dump(include=self.model_fields_set, exclude_none=True)
        idle = ", ".join(name for name in names if given.get(name, ()) not in ((), {}))
        if searches and idle:
            yield f"method: auto finds {idle} by itself: remove the one"
        elif idle:
            yield f"{idle} is for method: auto alone"
        if self.effort == "ranges" and (mixing := self.model_fields_set & {"mixed", "on"}):
            yield f"effort: ranges puts nothing in float: remove {', '.join(sorted(mixing))}"
        if searches and self.precision != "int8":
            yield f"method: auto searches for int8; {self.precision} needs method: ptq"

    def _idle_percentile(self) -> Iterator[str]:
        asked = self.calibration
        methods = asked.values() if isinstance(asked, dict) else (asked,)
        given = self.method != "auto" and "percentile" in self.model_fields_set
        if given and "percentile" not in methods:
            yield (
                "percentile is for calibration: percentile alone: write "
                f"quantize: {{calibration: percentile, percentile: {self.percentile}}}"
            )

    def _impossible_corrections(self) -> Iterator[str]:
        if self.corrections and self.precision == "float16":
            yield "corrections are for integers, not for float16"
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

    def plan_note(self, images: int, classes: int) -> str:
        if self.method != "auto":
            return f"method: {self.method}, {self.precision} as the recipe says"
        samples, held_back = self.divided(images, classes)
        if not held_back:
            return (
                f"method: auto, and {images} images of the training side are too few to judge by: "
                "the first way is taken unjudged"
            )
        return (
            f"method: auto, which tries ways to int8 until {self.asked} hold on {held_back} images "
            f"of the training side; {samples} others calibrate"
        )

    @property
    def estimates(self) -> bool:
        return self.on == "target" and self._mixes and self.method == "auto"

    def timed_on(self, machine: Machine) -> Self:
        stage = self.model_copy()
        stage._machine = machine
        return stage

    @property
    def _mixes(self) -> bool:
        return self.mixed == "auto" and self.effort == "full"

    @property
    def asked(self) -> StopCriterion:
        """When a search ends."""
        return StopCriterion(self.stop_at or AGREEMENT, self.max_drop)

    @property
    def needs_source(self) -> bool:
        return self.method == "auto" or bool(self.corrections)

    @property
    def may_time(self) -> bool:
        return self.method == "auto"

    def for_gates(self, gates: Gates) -> Quantize:
        """What the recipe says of the search stands; the rest is what the gates ask.

        A model loses at most d points where 100 - d percent of the classes stay. It need not lose
        them where fewer do, so that agreement stays at the usual, and the drop is judged besides.
        """
        if self.method != "auto":
            return self
        drop = gates.max_accuracy_drop if self.max_drop is None else self.max_drop
        least = [] if gates.min_agreement is None else [gates.min_agreement]
        least += [] if drop is None else [min(AGREEMENT, 100 - drop)]
        stop_at = max(least, default=AGREEMENT) if self.stop_at is None else self.stop_at
        return self.model_copy(update={"stop_at": stop_at, "max_drop": drop})

    def quantization_for(self, runtime: Runtime, variant: Variant) -> Quantization:
        """What is requested of one runtime.

        Raises:
            InputError: a runtime does not offer the precision or the calibration method.
        """
        quantizer = variant.quantizer or runtime.quantizers[0]
        precision = variant.precision or self.precision
        refuse_precision(precision, runtime, variant.runtime, quantizer)
        if self.method == "auto" and precision == "int8":
            calibration, percentile = ranges_for(runtime, quantizer)[0]
        else:
            calibration = calibration_for(runtime, quantizer, self.calibration, precision)
            percentile = self.percentile
        return Quantization(
            precision=precision,
            quantizer=quantizer,
            calibration=calibration,
            percentile=percentile,
            per_channel=self.per_channel,
        )

    def settings_for(self, runtime: Runtime, variant: Variant) -> Json:
        requested = self.quantization_for(runtime, variant)
        own = {"stage", "max_float_macs"}
        if requested.precision != "float16":
            own |= {"method", "corrections", "float_ops"}
            own |= {*SEARCH_SETTINGS} if self.method == "auto" else set()
        machine = (
            {"machine": self._machine.identity()} if self._is_timed(runtime, requested) else {}
        )
        # What is requested names no operators yet: `float_ops` is the setting.
        fields = requested.model_dump(mode="json", exclude={"ranges", "float_ops"})
        return {**self.model_dump(mode="json", include=own), **fields, **machine}

    def _is_timed(self, runtime: Runtime, requested: Quantization) -> bool:
        """Whether the file depends on how fast this machine is."""
        searches = self.method == "auto" and requested.precision == "int8"
        return searches and self._mixes and runtime.names_suspects

    def apply(
        self, runtime: Runtime, variant: Variant, inputs: Inputs, into: Path, context: Context
    ) -> CompiledMetadata:
        requested = self.quantization_for(runtime, variant)
        to_integers = requested.precision != "float16"
        config = QuantizationConfig(
            quantization=requested, corrections=self.corrections if to_integers else ()
        )
        found: AutoResult | None = None
        with trials_of(runtime, inputs, context) as trials:
            rule = self.float_ops == "auto" and to_integers
            float_ops = float_ops_by_rule(trials, config) if rule else FloatOps(operators=())
            config = config.keep_in_float(float_ops.operators)
            if self._searches(inputs) and requested.precision == "int8":
                found = self._auto(trials).run(config.quantization)
                config = found.config
            form, by_time = trials.ship(config, into), None
            if found and self._mixes:
                path, share = into / runtime.file, self.max_float_macs
                search = FloatByTimeSearch(trials, config, path, self.asked, share, self._machine)
                config, by_time = search.run()
                form = trials.ship(config, into) if found.config != config else form
            images = len(trials.images)
        read = audit(runtime.describe(into / runtime.file))
        metadata = inputs["model"].described_by(CompiledMetadata)
        return metadata.updated(
            form=form,
            precision=requested.precision,
            quantization=self._record(config, images, inputs, runtime.weight_bits),
            float_ops=float_ops,
            search=found.search if found else None,
            mixed=found.mixed if found else None,
            by_time=by_time,
            audit=read,
        )

    def _searches(self, inputs: Inputs) -> bool:
        """Whether there are images to judge what a search tries."""
        return self.method == "auto" and "held_back" in inputs

    def _auto(self, trials: QuantizationTrials) -> AutoSearch:
        return AutoSearch(
            trials=trials,
            asked=self.asked,
            max_float_macs=self.max_float_macs,
            mixes=self._mixes,
            ranges_alone=self.effort == "ranges",
        )

    def _record(
        self, config: QuantizationConfig, images: int, inputs: Inputs, weight_bits: int
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
            method=self.method if looks else None,
            unjudged=self.method == "auto" and looks and not self._searches(inputs),
            weight_bits=weight_bits if looks else 8,
        )
