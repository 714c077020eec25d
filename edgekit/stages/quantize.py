"""quantize: static post-training int8, with each runtime's own quantiser.

Weights are symmetric int8 with one scale a channel; activations are calibrated on a stratified
part of the training split, never on the images that judge the result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from edgekit.engine.action import Context, Inputs
from edgekit.engine.artifact import Json
from edgekit.errors import InputError, Unsupported
from edgekit.evaluation.file_audit import audit
from edgekit.evaluation.gates import Gates
from edgekit.model_metadata import Correction, FloatOps, MixedPrecision, Search
from edgekit.quantization import ranges
from edgekit.quantization.mixed_precision import in_float, search_mixed_precision
from edgekit.quantization.ptq_search import search
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.settings import CalibrationMethod, Precision, Quantization, Variant
from edgekit.stages.base import RuntimeStage

TRIAL_IMAGES = 64
PLAIN_MARGIN_DB = 1.0
"""Plain int8 is preferred where it is no worse than this: an island costs time."""
OF_THE_SEARCH = ("calibration", "percentile", "corrections")
"""Settings that `method: auto` finds by itself."""
FOR_THE_SEARCH = ("held_back", "stop_at", "mixed")
"""Settings that nothing but `method: auto` reads."""


class Quantize(RuntimeStage):
    version: ClassVar[int] = 7
    images: ClassVar[Literal["train", "calibration"] | None] = "calibration"

    stage: Literal["quantize"] = "quantize"
    precision: Precision = "int8"
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
    samples: int = Field(256, ge=1)
    """Calibration images."""
    every_class: bool = True
    """Refuse to calibrate when a validated class has no calibration image."""
    held_back: int = Field(200, ge=16)
    """With auto: images of the training side, none of them calibrated on, that judge each trial."""
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
    def _one_who_decides(self) -> Quantize:
        given = [name for name in OF_THE_SEARCH if name in self.model_fields_set]
        if self.method == "auto" and given:
            raise ValueError(f"method: auto finds {', '.join(given)} by itself: remove the one")
        idle = [name for name in FOR_THE_SEARCH if name in self.model_fields_set]
        if self.method != "auto" and idle:
            raise ValueError(f"{', '.join(idle)} is for method: auto alone")
        if self.corrections and self.precision != "int8":
            raise ValueError(f"corrections are for int8, not for {self.precision}")
        if "adaround" in self.corrections and not self.per_channel:
            raise ValueError("adaround needs per_channel: true: its grid has a step a channel")
        if self.method == "auto" and self.precision != "int8":
            raise ValueError(
                f"method: auto searches for int8; {self.precision} has nothing to find"
            )
        return self

    @property
    def holds_back(self) -> int:
        return self.held_back if self.method == "auto" else 0

    @property
    def needs_source(self) -> bool:
        return self.method == "auto" or bool(self.corrections)

    def for_gates(self, gates: Gates) -> Quantize:
        """A model loses at most d points where 100 - d percent of the classes stay."""
        if self.method != "auto" or self.stop_at is not None:
            return self
        drop, agreement = gates.max_accuracy_drop, gates.min_agreement
        asked = [100 - drop] if drop is not None else []
        asked += [agreement] if agreement is not None else []
        return self.model_copy(update={"stop_at": max(asked)}) if asked else self

    def asked(self, runtime: Runtime, variant: Variant) -> Quantization:
        """What is asked of one runtime.

        Raises:
            InputError: the runtime does not offer the precision or the calibration method.
        """
        quantizer = variant.quantizer or runtime.quantizers[0]
        offered = [*runtime.calibrations]
        if quantizer == runtime.quantizers[0]:  # another one takes no ranges from elsewhere
            offered += [name for name in ranges.METHODS if name not in offered]
        calibration = self.calibration
        if isinstance(calibration, dict):
            calibration = calibration.get(runtime.name)
        if calibration is not None and calibration not in offered:
            raise InputError(
                f"quantize.calibration: {runtime.name} does not offer {calibration}",
                hint=f"it offers {', '.join(offered)}; a mapping such as "
                f"{{{runtime.name}: {offered[0]}}} sets each runtime's own",
            )
        precision = variant.precision or self.precision
        if precision not in runtime.precisions:
            raise InputError(
                f"quantize.precision: {runtime.name} does not offer {precision}",
                hint=f"it offers {', '.join(runtime.precisions)}",
            )
        return Quantization(
            precision=precision,
            quantizer=quantizer,
            calibration=calibration or runtime.calibrations[0],
            percentile=self.percentile,
            per_channel=self.per_channel,
        )

    def settings_for(self, runtime: Runtime, variant: Variant) -> Json:
        asked = self.asked(runtime, variant)
        own = {"stage", "max_float_macs"}
        if asked.precision == "int8":
            own |= {"method", "corrections", "float_ops"}
            own |= {*FOR_THE_SEARCH} if self.method == "auto" else set()
        # What is asked names no operators yet: `float_ops` is the setting.
        fields = asked.model_dump(mode="json", exclude={"ranges", "float_ops"})
        return {**self.model_dump(mode="json", include=own), **fields}

    def apply(
        self, runtime: Runtime, variant: Variant, inputs: Inputs, into: Path, context: Context
    ) -> Json:
        asked = self.asked(runtime, variant)
        int8 = asked.precision == "int8"
        searches = self.method == "auto" and int8
        with _workshop(runtime, inputs, context) as workshop:
            way = QuantizationConfig(
                quantization=asked, corrections=self.corrections if int8 else ()
            )
            float_ops = self._float_ops(workshop, way)
            way = way.keep_in_float(float_ops.operators)
            found = mixed = None
            if searches:
                way, found = search(workshop, way.quantization, self.stop_at)
                if self._falls_short(found):
                    way, found, mixed = self._mixed(workshop, way, found)
            form = workshop.quantize(way, into)
            images = len(workshop.images)
        read = audit(runtime.describe(into / runtime.file))
        return {
            **inputs["model"].metadata,
            "form": form.model_dump(mode="json"),
            "precision": asked.precision,
            "quantization": self._record(way, images),
            "float_ops": float_ops.model_dump(mode="json"),
            "search": found and found.model_dump(mode="json"),
            "mixed": mixed and mixed.model_dump(mode="json"),
            "audit": read.model_dump(mode="json"),
        }

    def _mixed(
        self, workshop: QuantizationTrials, way: QuantizationConfig, found: Search
    ) -> tuple[QuantizationConfig, Search, MixedPrecision | None]:
        """Operators in float; and where these do not do, ranges anew: those that were found were
        the best of a network that was broken."""
        assert self.stop_at is not None
        chosen, mixed = search_mixed_precision(workshop, way, self.stop_at, self.max_float_macs)
        if not mixed or mixed.reached or not mixed.tried:
            return chosen, found, mixed
        rule = way.quantization.float_ops
        floats = in_float(workshop, way, mixed.tried)
        try:
            way, again = search(workshop, floats.quantization, self.stop_at, way.corrections)
            way, more = search_mixed_precision(
                workshop, way.keep_in_float(rule), self.stop_at, self.max_float_macs, mixed.tried
            )
        except Unsupported:  # with all of them in float no file can be made
            return chosen, found, mixed
        before, after = workshop.try_out(chosen).sqnr_db, workshop.try_out(way).sqnr_db
        if more is None or after is None:
            return chosen, found, mixed
        if not more.reached and before is not None and before > after:
            return chosen, found, mixed
        return way, found.then(again), more

    def _falls_short(self, found: Search) -> bool:
        """Whether a gate would break."""
        if self.stop_at is None or self.mixed == "none":
            return False
        best = next(row.trial for row in found.tried if row.chosen)
        return best.agreement is None or best.agreement < self.stop_at

    def _record(self, way: QuantizationConfig, images: int) -> Json:
        """What was asked, as later steps and the manifest read it."""
        asked_for = way.quantization.model_dump(mode="json", exclude={"ranges"})
        if way.quantization.precision == "float16":  # weights alone change: no image is looked at
            asked_for |= {"calibration": None, "percentile": None, "float_ops": []}
            images = 0
        return {
            **asked_for,
            "corrections": list(way.corrections),
            "max_float_macs": self.max_float_macs,
            "images": images,
        }

    def _float_ops(self, workshop: QuantizationTrials, way: QuantizationConfig) -> FloatOps:
        """The operators to keep in float: those the rule names, unless plain int8 does as well."""
        int8 = way.quantization.precision == "int8"
        source = workshop.compiled.file(workshop.runtime.file)
        named = workshop.runtime.float_ops(source) if self.float_ops == "auto" and int8 else ()
        if not named:
            return FloatOps(operators=())
        plain = workshop.try_out(way)
        kept = workshop.judge(way.keep_in_float(named))
        enough = plain.sqnr_db is not None and (
            kept.sqnr_db is None or plain.sqnr_db > kept.sqnr_db - PLAIN_MARGIN_DB
        )
        return FloatOps(operators=() if enough else named, plain=plain, keep_in_float=kept)


@contextmanager
def _workshop(runtime: Runtime, inputs: Inputs, context: Context) -> Iterator[QuantizationTrials]:
    """Calibration images judge too where none are held back: they choose between two forms."""
    images = np.load(inputs["calibration"].file("images.npy"))
    held: Any = inputs.get("held_back")
    judged = np.load(held.file("images.npy")) if held else images[:TRIAL_IMAGES]
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        yield QuantizationTrials(
            runtime=runtime,
            compiled=inputs["model"],
            source=inputs.get("source"),
            images=images,
            judged=judged,
            folder=Path(folder),
            progress=context.progress,
        )
