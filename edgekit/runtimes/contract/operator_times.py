"""How long each operator of a file takes: what a runtime that can tell gives, and helpers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from edgekit.runtimes.contract.description import Operator, Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARM_UP = 10
"""Runs before those that count."""
LEAST_RUNS, MOST_RUNS = 20, 300
Seconds = Annotated[float, Field(ge=0, le=1e7)]


class TimedOperator(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    operator: Operator
    seconds: Seconds
    """Of one inference."""


class OperatorTimes(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    operators: tuple[TimedOperator, ...]
    """In the order they run."""
    inferences: tuple[Seconds, ...] = Field(min_length=1)
    """Of the whole file meanwhile."""
    method: str


def sample_input(port: Port) -> NDArray[Any]:
    """Something of the shape and type that a file takes: what it shows changes no time."""
    import numpy as np

    shape = [max(1, side) for side in port.shape]  # an open batch is one image
    return np.random.default_rng(0).integers(0, 128, shape).astype(port.dtype)


def timed_runs(run: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each run, after WARM_UP ones.

    Args:
        seconds: to spend, as far as LEAST_RUNS and MOST_RUNS allow.
    """
    taken: list[float] = []
    for _ in range(WARM_UP):
        run()
    until = time.perf_counter() + seconds
    while len(taken) < LEAST_RUNS or (time.perf_counter() < until and len(taken) < MOST_RUNS):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken
