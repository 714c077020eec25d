"""The operators of a shipped file by time, precision and noise, and how far each is from the limit
of this machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edgekit.evidence import Evidence
from edgekit.printable import shortened
from edgekit.runtimes.contract.description import Operator
from edgekit.runtimes.contract.operator_times import OperatorTimes

NAMED = 3
"""Operators that a report names as the furthest from the limit."""
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int16": 2, "int16x8": 2}
"""Of a value; of any other type one."""


Figure = Annotated[float, Field(ge=0, lt=1e18)]
Rate = Annotated[float, Field(ge=1, lt=1e18)]
FIELDS = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Roofline(BaseModel):
    """What this machine gives at best with a runtime's int8 kernels, on one thread."""

    model_config = FIELDS

    macs_per_second: Rate
    bytes_per_second: Rate
    method: str
    evidence: Evidence = Evidence.HOST

    def microseconds(self, operator: Operator) -> float | None:
        """The least time of an operator, were it all in int8; None where nothing is known of what
        it computes or moves. Arithmetic and memory may overlap in full: the longer counts."""
        moved = (operator.weights + operator.moved) // BYTES.get(operator.precision, 1)
        if not operator.macs and not moved:
            return None
        return 1e6 * max(operator.macs / self.macs_per_second, moved / self.bytes_per_second)


class ProfiledOperator(BaseModel):
    model_config = FIELDS

    name: str
    kind: str
    precision: str
    macs: Annotated[int, Field(ge=0, lt=2**63)]
    us: Figure
    """Microseconds of one inference."""
    share: Figure
    """Of the time of all operators, from 0 to 1."""
    sqnr_db: float | None = None
    """Of what it gives, against the float model's; None where that is not told."""
    limit_us: Figure | None = None
    """The roofline's; None where it cannot be told."""

    @property
    def times_limit(self) -> float | None:
        return self.us / self.limit_us if self.limit_us else None

    @property
    def lost_us(self) -> float:
        """Beyond the limit; 0 where that is not known."""
        return max(0.0, self.us - self.limit_us) if self.limit_us else 0.0


class OperatorTable(BaseModel):
    """Of one file, on the machine that built, with one thread."""

    model_config = FIELDS

    method: str
    evidence: Evidence = Evidence.HOST
    operators: tuple[ProfiledOperator, ...]
    """The slowest first."""
    roofline: Roofline | None
    no_roofline: str = ""
    """Why it cannot be told."""
    no_noise: str = ""
    """Why no operator has an SQNR."""

    @property
    def furthest(self) -> tuple[ProfiledOperator, ...]:
        """From the limit: at which most time is lost."""
        ranked = sorted(self.operators, key=lambda one: -one.lost_us)
        return tuple(one for one in ranked[:NAMED] if one.lost_us > 0)

    @property
    def lost_share(self) -> float:
        """Of the time of all operators, what lies beyond the limit, from 0 to 1."""
        whole = sum(one.us for one in self.operators)
        return sum(one.lost_us for one in self.operators) / whole if whole else 0.0

    def __str__(self) -> str:
        """What is furthest from the limit."""
        if not self.roofline:
            return f"how far it is from this machine's limit cannot be told: {self.no_roofline}"
        named = (
            f"{shortened(one.name)} ({one.kind}, {one.us:,.0f} µs, "
            f"{one.times_limit:.1f} times its limit)"
            for one in self.furthest
        )
        lost = f"{100 * self.lost_share:.0f} % of the time lies beyond this machine's int8 limit"
        return "; most at ".join(filter(None, (lost, ", ".join(named))))


class ShippedOperators(BaseModel):
    """Of all that a build shipped, by variant."""

    model_config = FIELDS

    tables: dict[str, OperatorTable] = {}
    missing: dict[str, str] = {}
    """Why a variant has none."""

    @property
    def lines(self) -> list[str]:
        """For a person to read."""
        told = [f"{name} ({one.evidence}): {one}" for name, one in self.tables.items()]
        return told + [f"{name}: — ({reason})" for name, reason in self.missing.items()]


def table_of(
    times: OperatorTimes,
    roofline: Roofline | None,
    noise: dict[str, float],
    no_roofline: str = "",
    no_noise: str = "",
) -> OperatorTable:
    """
    Args:
        noise: SQNR in dB by what `Quantization.float_ops` calls an operator.
    """
    whole = sum(one.seconds for one in times.operators) or 1.0
    found = [
        profiled(one.operator, one.seconds, whole, noise.get(one.operator.written), roofline)
        for one in times.operators
    ]
    if noise and all(one.sqnr_db is None for one in found):
        no_noise = "the float file calls its operators otherwise"  # it is another runtime's
    return OperatorTable(
        method=times.method,
        operators=tuple(sorted(found, key=lambda one: -one.us)),
        roofline=roofline,
        no_roofline=no_roofline,
        no_noise=no_noise,
    )


def profiled(
    operator: Operator,
    seconds: float,
    whole: float,
    sqnr_db: float | None,
    roofline: Roofline | None = None,
) -> ProfiledOperator:
    """
    Args:
        whole: seconds of all operators.
    """
    return ProfiledOperator(
        name=operator.name,
        kind=operator.kind,
        precision=operator.precision,
        macs=operator.macs,
        us=round(1e6 * seconds, 2),
        share=round(seconds / whole, 4),
        sqnr_db=sqnr_db,
        limit_us=_rounded(roofline.microseconds(operator)) if roofline else None,
    )


def _rounded(us: float | None) -> float | None:
    return None if us is None else float(f"{us:.3g}")
