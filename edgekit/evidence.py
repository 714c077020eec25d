"""A figure never travels without where it comes from and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator


class Evidence(StrEnum):
    """Where a figure was seen. Figures of different evidence never share a column."""

    MEASURED = "measured"  # on the target's own device
    EMULATED = "emulated"  # on its instruction set: accuracy only, never latency
    HOST = "host"  # on the machine that builds; latency only as a ratio to the float model
    ESTIMATED = "estimated"  # computed from a model of the device, with that model's error


class Verdict(StrEnum):
    """What a comparison shows, once its interval is taken into account."""

    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


class Status(StrEnum):
    """What came of a target, or of a file."""

    PASSED = "passed"
    UNTRAINED = "untrained"  # no better than guessing: it shows nothing, whatever it holds
    BROKEN = "broken"  # a gate is, or something failed


class Measurement(BaseModel):
    """One figure: value and unit, 95 % interval where it is a sample, evidence and method."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    unit: str
    evidence: Evidence
    method: str
    samples: int | None = None
    low: float | None = None
    high: float | None = None

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
    seen: float
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
    WARN = "warn"
    INVALID = "invalid"


class InvalidityCause(StrEnum):
    """Why a run is doubted, by a name that a script can look for."""

    THROTTLED = "throttled"
    FREQUENCY_FELL = "frequency fell"
    FALL_BACK = "fall-back"
    PARTLY_DELEGATED = "partly delegated"
    DRIFT = "drift"
    SPREAD = "processes differ"
    TOO_FEW_RUNS = "too few runs"
    BUSY = "busy machine"
    DIFFERS_FROM_HOST = "differs from the host"
    WRONG_RESULT = "wrong result"
    OTHER_PROCESSOR = "other processor"
    UNWATCHED = "not watched"
    SLOW_CLOCK = "slow clock"
    HOT = "hot"
    MEMORY = "short of memory"
    IMPLAUSIBLE = "implausible"


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
