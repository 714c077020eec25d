"""A figure never travels without where it comes from and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value = Annotated[float, Field(ge=-1e15, le=1e15)]
"""Of a figure, in its unit: neither infinite nor no number, and within what a page can draw."""


class Evidence(StrEnum):
    """Where a figure was seen. Figures of different evidence never share a column."""

    MEASURED = "measured"
    """On the target's own device."""
    EMULATED = "emulated"
    """On the target's instruction set: accuracy only, never latency."""
    HOST = "host"
    """On the machine that builds; latency only as a ratio to the float model."""
    ESTIMATED = "estimated"
    """Computed from a model of the device, with that model's error."""


class Verdict(StrEnum):
    """What a comparison shows, once its interval is taken into account."""

    BETTER = "better"
    """The whole 95 % interval is on the good side: more images right, or faster."""
    WORSE = "worse"
    """The whole 95 % interval is on the bad side: fewer images right, or slower."""
    CANNOT_TELL = "cannot tell"
    """The interval holds no change as well: the images or the runs are too few, or there is no
    difference."""


class Status(StrEnum):
    """What came of a target, or of a file."""

    PASSED = "passed"
    """All that must pass was built, and no gate is broken."""
    UNTRAINED = "untrained"
    """The float model is no better than naming the commonest class: whatever gates it holds, that
    shows nothing. Train longer, or on more images."""
    BROKEN = "broken"
    """A gate is broken, or something failed: nothing ships."""


class Measurement(BaseModel):
    """One figure: value and unit, 95 % interval where it is a sample, evidence and method."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Value
    unit: str
    evidence: Evidence
    method: str
    samples: int | None = None
    low: Value | None = None
    high: Value | None = None

    @model_validator(mode="after")
    def _both_ends_in_order(self) -> Measurement:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has both ends or none")
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(f"the interval {self.low}..{self.high} is upside down")
        return self


FEW_IMAGES = 200
"""Up to so many, one image is half a point and more: figures are then told in images as well."""


def in_images(figure: Measurement) -> str:
    """A share or a drop in images; empty for anything else.

    Of points lost it counts the images that are right no longer, less those won.

    >>> made = {"evidence": Evidence.HOST, "method": "paired"}
    >>> in_images(Measurement(value=100 * 2 / 24, unit="points", samples=24, **made))
    '2 fewer of 24 images are right, and one image is 4.2 points'
    >>> in_images(Measurement(value=0, unit="points", samples=36, **made))
    'as many of 36 images are right as before, and one image is 2.8 points'
    >>> in_images(Measurement(value=75, unit="%", samples=24, **made))
    '18 of 24 images, and one image is 4.2 points'
    """
    if figure.unit not in ("%", "points") or not figure.samples:
        return ""
    count, images = round(figure.value / 100 * figure.samples), f"{figure.samples} images"
    if figure.unit == "%":
        what = f"{count} of {images}"
    elif count:
        what = f"{abs(count)} {'fewer' if count > 0 else 'more'} of {images} are right"
    else:
        what = f"as many of {images} are right as before"
    return f"{what}, and one image is {100 / figure.samples:.1f} points"


class InvalidMeasurement(BaseModel):
    """What was measured and is not to be believed. It has no `value`, so that neither a page nor a
    script takes what was seen for a figure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    valid: Literal[False] = False
    reason: str
    """Why not, in a few words: pages show them beside a dash."""
    seen: Value
    """What the clock said; no interval, as it would claim to hold the truth."""
    unit: str
    evidence: Evidence
    method: str
    samples: int | None = None

    @classmethod
    def of(cls, figure: Measurement, reason: str) -> InvalidMeasurement:
        """The figure, with its value taken from it."""
        kept = figure.model_dump(include={"unit", "evidence", "method", "samples"})
        return cls(reason=reason, seen=figure.value, **kept)


def believed(figure: Measurement | InvalidMeasurement | None) -> Measurement | None:
    """The figure, where there is one that can be relied on."""
    return figure if isinstance(figure, Measurement) else None


def interval(figure: Measurement | InvalidMeasurement | None, digits: int = 1) -> str:
    """`82.5 (79.1 to 85.4)`, or an em dash for what was not measured, with the reason for what
    cannot be believed: `— (machine too busy)`."""
    value, ends = value_and_range(figure, digits)
    return f"{value} ({ends})" if ends else value


def value_and_range(
    figure: Measurement | InvalidMeasurement | None, digits: int = 1
) -> tuple[str, str]:
    """What every page shows of a figure, and what it shows beside it."""
    if figure is None:
        return "—", ""
    if isinstance(figure, InvalidMeasurement):
        return "—", figure.reason
    ends = "" if figure.low is None else f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
    return f"{figure.value:.{digits}f}", ends


class Validity(StrEnum):
    OK = "ok"
    """Nothing speaks against the run on the device."""
    WARN = "warn"
    """The run's figures are to be read with care; the report says why."""
    INVALID = "invalid"
    """The run is no result: no figure of it is told. The report says why."""


class InvalidityCause(StrEnum):
    """Why a run is doubted, by a name that a script can look for."""

    THROTTLED = "throttled"
    """The processor lowered its clock, of heat or of too weak a power supply."""
    FREQUENCY_FELL = "frequency fell"
    """The clock fell in the timed runs, or was below the one that was asked for."""
    FALL_BACK = "fall-back"
    """Another processor than the one asked for ran the model."""
    PARTLY_DELEGATED = "partly delegated"
    """Only a part of the operators ran where it was asked."""
    DRIFT = "drift"
    """Later runs took longer, or shorter, than earlier ones."""
    SPREAD = "processes differ"
    """The medians of the processes are too far apart."""
    TOO_FEW_RUNS = "too few runs"
    """Fewer runs were made than the protocol asks for."""
    BUSY = "machine too busy"
    """Other jobs took the processor while it was timed."""
    DIFFERS_FROM_HOST = "differs from the host"
    """The same file names other classes there than on the machine that builds."""
    WRONG_RESULT = "wrong result"
    """The golden scores did not come out."""
    OTHER_PROCESSOR = "other processor"
    """The device's processor is not the target's."""
    UNWATCHED = "not watched"
    """Clock and heat could not be read during the run."""
    SLOW_CLOCK = "slow clock"
    """The clock was below the highest that the processor has."""
    HOT = "hot"
    """The processor was near the heat at which it throttles, or its fan stands still."""
    MEMORY = "short of memory"
    """Little memory was free during the run."""
    IMPLAUSIBLE = "implausible"
    """No such device can give such times: they are too fast, or too much alike."""

    @classmethod
    def _missing_(cls, value: object) -> InvalidityCause | None:
        return cls.BUSY if value == "busy machine" else None  # its word in older reports


class Reason(BaseModel):
    """What makes a run doubtful or no result, and how far it does."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cause: InvalidityCause
    validity: Validity
    words: str

    @classmethod
    def warning(cls, cause: InvalidityCause, message: str) -> Reason:
        """Why a figure is to be read with care."""
        return cls(cause=cause, validity=Validity.WARN, words=message)

    @classmethod
    def invalid(cls, cause: InvalidityCause, message: str) -> Reason:
        """Why a run is no result."""
        return cls(cause=cause, validity=Validity.INVALID, words=message)


def unless_invalid(
    figure: Measurement | None, validity: Validity, reasons: Iterable[Reason]
) -> Measurement | InvalidMeasurement | None:
    """A figure of a run on a device; of a run that is no result it has no value."""
    if figure is None or validity is not Validity.INVALID:
        return figure
    causes = (reason.cause for reason in reasons if reason.validity is Validity.INVALID)
    return InvalidMeasurement.of(figure, next(causes, "no result"))


class Bound(BaseModel):
    """What can be said of a file's latency where no device took part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    macs: int
    weight_bytes: int
    activation_bytes: int
    lower: Measurement | None
    """Milliseconds: a lower bound, and no latency that is expected."""
    reason: str = ""
    """Why there is none."""
