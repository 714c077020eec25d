"""The cores whose cycles are modelled, read from the tables beside this file."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

OTHER = {"q": "add.q", "d": "add.d"}
"""What a kind that a table does not name is taken for."""


class OutOfOrderTiming(BaseModel):
    """What one kind of instruction asks of a core that runs out of order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uops: int
    latency: int
    units: tuple[tuple[tuple[int, ...], int], ...]
    """Units that can each do it, and for how many cycles they are held together."""
    accumulate: int = 0
    """Cycles from one sum to the next that adds to it."""


class InOrderTiming(BaseModel):
    """What one kind of instruction asks of the Cortex-A53."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Literal["none", "integer", "branch", "memory", "vector_load", "vector", "insert"]
    cycles: int
    """How long it holds the unit."""
    latency: int
    half: bool = False
    """Two of its kind share the vector unit."""
    alone: bool = False
    accumulate: int = 0
    """Cycles from one sum to the next that adds to it."""

    @property
    def issues_alone(self) -> bool:
        return self.alone or self.cycles > 1

    @property
    def uses_memory(self) -> bool:
        return self.unit in ("memory", "vector_load")

    @property
    def width(self) -> float:
        """Of the vector unit's 128 bits."""
        return 0.5 if self.half else 1.0


AnyTiming = TypeVar("AnyTiming", OutOfOrderTiming, InOrderTiming)


def _timing(kinds: dict[str, AnyTiming], kind: str) -> AnyTiming:
    """Of the kind, of its form without a moved base, or of plain arithmetic."""
    plain = kind.split("+")[0]
    return (
        kinds.get(kind) or kinds.get(plain) or kinds[OTHER.get(plain.split(".")[-1], "alu")]
    )  # fmt: skip


class InOrderCore(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    kinds: dict[str, InOrderTiming]

    def timing(self, kind: str) -> InOrderTiming:
        return _timing(self.kinds, kind)


class OutOfOrderCore(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    width: int
    """Micro-operations dispatched a cycle."""
    reorder: int
    """Micro-operations in flight."""
    kinds: dict[str, OutOfOrderTiming]

    @property
    def units(self) -> int:
        return 1 + max(
            unit for timing in self.kinds.values() for group, _ in timing.units for unit in group
        )

    def timing(self, kind: str) -> OutOfOrderTiming:
        return _timing(self.kinds, kind)


@cache
def out_of_order_core(name: str) -> OutOfOrderCore:
    return OutOfOrderCore.model_validate(_table(name))


@cache
def in_order_core(name: str) -> InOrderCore:
    return InOrderCore.model_validate(_table(name))


def _table(name: str) -> object:
    return json.loads(
        files(__package__).joinpath("cores", f"{name}.json").read_text(encoding="utf-8")
    )
