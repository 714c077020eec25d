"""What is known of a model and travels with its file: into the store, manifests and reports.

Plain records alone: who fills them in lies above.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from edgekit.engine.artifact import Metadata
from edgekit.evidence import InvalidMeasurement, Measurement
from edgekit.models.card import Card
from edgekit.runtimes.contract.description import Port
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.runtimes.contract.settings import CalibrationMethod, Method, Precision

Correction = Literal["equalise", "smooth", "adaround", "bias"]
"""equalise: cross-layer equalisation. smooth: SmoothQuant, behind a LayerNorm. adaround: weights
rounded for the layer's output. bias: the mean error of rounding, taken from the biases."""
FLOAT_TYPES = ("float", "bfloat")
CONVERSIONS = {"QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear", "Reorder"}


class Audit(BaseModel):
    """What a file computes in, read from the file and from the runtime that loads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operators: dict[str, int]
    """How many there are of each kind and precision, e.g. {"CONV_2D int8": 35}."""
    quantized_macs: float | None
    """Share, from 0 to 1, of the multiply-accumulates that run in integers; None where the file's
    operators do not say how large they are."""
    heavy: int
    """Convolutions and matrix products."""
    float_heavy: tuple[str, ...]
    """Those of them that do not run in integers."""
    float_weights: tuple[str, ...] = ()
    """Those that run in integers, of weights that the file holds in float: the runtime makes them
    int8 as it loads the file, which is as large as the float one."""
    between_wide_codes: tuple[str, ...] = ()
    """Those of `float_heavy` that compute what 16-bit codes and int8 weights stand for."""
    wide_macs: float | None = None
    """Share of the multiply-accumulates that run in these; None as above."""
    per_channel: bool
    conversions: tuple[str, ...]
    """Quantise and dequantise operators that run between others: pairs that did not fuse."""
    transposes: tuple[str, ...]
    outside_delegate: tuple[str, ...]
    delegated: int
    """Operators on the runtime's fast path."""

    @property
    def of_wide_codes(self) -> str:
        """What becomes of 16-bit activations where the file runs; empty where there are none."""
        kinds = [n.removesuffix(" int16x8") for n in self.operators if n.endswith(" int16x8")]
        wide, told = sum(self.operators[f"{kind} int16x8"] for kind in kinds), []
        if wide:
            slow = sum(name.split()[0] in kinds for name in self.outside_delegate)
            off = f", {slow} of them off the runtime's fast path" if slow else ""
            told.append(f"{wide} of {self.heavy} layers compute in int16x8{off}")
        if self.between_wide_codes:
            count = len(self.between_wide_codes)
            told.append(f"{count} of {self.heavy} layers compute in float between 16-bit codes")
        return "; ".join(told)

    @property
    def left_in_float(self) -> dict[str, int]:
        """How many operators of each kind compute in float, conversions aside: {"SOFTMAX": 12}."""
        found = {}
        for name, count in self.operators.items():
            kind, _, precision = name.rpartition(" ")
            if precision.startswith(FLOAT_TYPES) and kind not in CONVERSIONS:
                found[kind] = count
        return found


class AppliedQuantization(BaseModel):
    """How a compressed file was quantised, and what the recipe allowed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision
    quantizer: str
    calibration: CalibrationMethod | None
    """None for float16, where weights alone change and no image is looked at."""
    percentile: float | None
    per_channel: bool
    float_ops: tuple[str, ...]
    """Names of operators of the compiled float model that stay in float."""
    corrections: tuple[Correction, ...]
    max_float_macs: float
    """Share of the multiply-accumulates that were allowed to stay in float, from 0 to 1."""
    images: int
    """Calibration images."""
    method: Method | None = None
    """None in files of earlier versions."""
    unjudged: bool = False
    """A search was requested, and too few images were left to judge what it would try."""
    weight_bits: int = 8
    """Of int8 weights; with 7 no sum of their products saturates."""


class TrialResult(BaseModel):
    """A model quantised to see what comes of it, judged on images that validate nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sqnr_db: float | None
    """Of its scores against the float model's, the median over images; None if it does not run."""
    images: int
    agreement: float | None = None
    """Percent of the images on which it names the float model's class."""
    drop: float | None = None
    """Points of top-1 lost on them against the float model; None in files of earlier versions."""
    loses: bool = False
    """The loss is significant (McNemar's exact test, one-sided, 5 %)."""
    failure: str = ""

    @model_validator(mode="after")
    def _told(self) -> Self:
        if self.sqnr_db is None and not self.failure:
            raise ValueError("a trial has neither a figure nor a failure")
        return self

    def __str__(self) -> str:
        """
        >>> str(TrialResult(sqnr_db=20.0, images=200, agreement=97.5, drop=1.0))
        '97.5 % agree, drop 1 points'
        """
        if self.agreement is None:
            return self.failure
        return f"{self.agreement:g} % agree, drop {self.drop or 0:g} points"


class FloatOps(BaseModel):
    """Operators that stay in float by rule, and the two trials that decided it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operators: tuple[str, ...]
    plain: TrialResult | None = None
    keep_in_float: TrialResult | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.plain is None) is not (self.keep_in_float is None):
            raise ValueError("one of the two trials is missing")
        return self


class Tried(BaseModel):
    """A configuration and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    way: str
    """The configuration in words."""
    trial: TrialResult
    chosen: bool = False


class Search(BaseModel):
    """All configurations that were tried, in their order, and why no more were."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tried: tuple[Tried, ...]
    stop_at: float | None
    """Percent of agreement at which the search was to stop."""
    max_drop: float | None = None
    """Points that might be lost there; None: no significant loss."""
    ended: str

    @property
    def best(self) -> Tried:
        """The one that was chosen."""
        return next(row for row in self.tried if row.chosen)

    def with_cause(self, tried: Tried, cause: str) -> Search:
        """With a configuration that was tried to tell why none holds, and what it told."""
        update = {"tried": (*self.tried, tried), "ended": f"{self.ended}; {cause}"}
        return self.model_copy(update=update)

    def then(self, other: Search) -> Search:
        """Both, one after the other: what the second one chose counts."""
        before = tuple(row.model_copy(update={"chosen": False}) for row in self.tried)
        return other.model_copy(update={"tried": before + other.tried})


class MixedPrecisionStep(BaseModel):
    """A number of operators in float, and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operators: tuple[str, ...]
    float_macs: float
    """Share of the multiply-accumulates that run in float, from 0 to 1."""
    trial: TrialResult
    latency_ratio: float | None = None
    """Median latency against the file with none in float, on this machine, interleaved."""


class FloatOp(BaseModel):
    """An operator that was returned to float, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: str
    kind: str
    arose: float
    """Share of the scores' noise that arose at it, from 0 to 1, when it was last in int8."""
    wrong: bool = False
    """It went wrong in int8, or fed what did."""
    back_in_int8: TrialResult | None = None
    """What comes of it when it alone returns to int8."""


class MixedPrecision(BaseModel):
    """What a search for the fewest operators in float saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_at: float
    """Percent of the judged images that were to agree."""
    reached: bool
    tried: tuple[FloatOp, ...]
    """All that were returned to float, whether they stay so or not."""
    curve: tuple[MixedPrecisionStep, ...]
    """All sets that were tried, by their number of operators."""
    kept: tuple[FloatOp, ...]
    ended: str


class TimedGroup(BaseModel):
    """Operators that were timed in float."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    """The kinds of operators that are off the runtime's fast path in int8; with them goes what lies
    between."""
    operators: int
    ratio: Measurement | InvalidMeasurement
    """Latency against the int8 file, interleaved; invalid where the machine was busy."""


class FloatByTime(BaseModel):
    """What a search for operators that int8 slows down saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tried: tuple[TimedGroup, ...]
    operators: tuple[str, ...] = ()
    """Those in float because of time."""
    chosen: TimedGroup | None = None
    """What they are and what they bring."""
    trial: TrialResult | None = None
    """With these in float."""
    ended: str


class CompiledMetadata(Metadata):
    """Of a model in a runtime's own format, from the float file to the one that ships."""

    card: Card
    form: InputForm
    """How an image is fed to it."""
    precision: str
    """float32, or what the quantize stage was to make of it."""
    quantization: AppliedQuantization | None = None
    """None for a float model, of which nothing was requested."""
    float_ops: FloatOps | None = None
    search: Search | None = None
    """What `method: auto` tried."""
    mixed: MixedPrecision | None = None
    """What it gave back to float, and why."""
    by_time: FloatByTime | None = None
    """What it gave back to float because int8 is slower there; None where nothing suggests it."""
    audit: Audit | None = None
    ranges: dict[str, tuple[float, float]] | None = None
    """Of a network trained for int8, by tensor of the file."""
    input: Port | None = None
    """Of the file that ships."""
    output: Port | None = None

    @property
    def how_quantized(self) -> str:
        """The method that was taken and why, in one line; empty for a float model."""
        used, search = self.quantization, self.search
        if used is None:
            return ""
        if search is None:
            way = " + ".join((used.calibration or "weights alone", *used.corrections))
            judged = ", unjudged: too few images" if used.unjudged else ""
            wide = self.audit.of_wide_codes if self.audit else ""
            computed = f": {wide}" if wide else ""
            return f"{used.precision} by method: {used.method or 'ptq'}, {way}{judged}{computed}"
        mixed = f"; {self.mixed.ended}" if self.mixed else ""
        return (
            f"{used.precision} by method: auto, {search.best.way}, of {len(search.tried)} tried on "
            f"{search.best.trial.images} held-back images: {search.ended}{mixed}"
        )
