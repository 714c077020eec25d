"""How latency is measured on a device, and the agent's job for it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edgekit.devices.agent_result import Threads
from edgekit.evaluation.measure import PROTOCOL as INTERLEAVED
from edgekit.evaluation.run_result import MAX_SECONDS

SLICE = 256
"""Labelled images that are scored on a device: enough for an interval of 5 points."""
GOLDEN = 8
"""Images whose scores a device must give back before anything else is believed."""
GOLDEN_INT8, GOLDEN_FLOAT = 0.1, 0.01
"""Of the spread of the golden scores: int8 kernels differ by a few steps of the output's scale."""


def golden_share(precision: str) -> float:
    """How far another processor's golden scores may differ, of their spread."""
    return GOLDEN_FLOAT if precision.startswith("float") else GOLDEN_INT8


class Protocol(BaseModel):
    """Processes that are started anew tell how much a single one's figures mean: where memory
    comes to lie, and which core a thread, changes from one to the next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    warmup_runs: int = Field(10, ge=0)
    warmup_seconds: float = Field(2.0, ge=0, le=MAX_SECONDS)
    """Warm-up goes on until both are reached; so do the timed runs."""
    runs: int = Field(100, ge=2)
    seconds: float = Field(10.0, ge=0, le=MAX_SECONDS)
    processes: int = Field(3, ge=1)
    threads: tuple[Threads, ...] = Field((4, 1, 2), min_length=1)
    """The first is what the target asks for; the others are measured in one process each."""
    pin: bool = True
    """To the cores with the highest clock, where a processor has several kinds."""
    sustained_seconds: float = Field(0.0, ge=0, le=MAX_SECONDS)

    def at(self, threads: int) -> Protocol:
        """With a target's number of threads first; the agent leaves out what has no cores."""
        others = [n for n in (1, 2, 4) if n != threads]
        return self.model_copy(update={"threads": (threads, *others)})


STRICT = Protocol(runs=1024, seconds=60.0)
"""As MLPerf's single-stream scenario asks: at least 1024 samples and 60 seconds."""


def job_for(
    models: list[dict[str, Any]],
    protocol: Protocol | None,
    id: str,
    images: str,
    golden: dict[str, Any] | None,
    threads: int,
    workers: int,
) -> dict[str, Any]:
    """What the agent is given: the first model is the subject, a second one its float model.

    Args:
        protocol: None for no latency at all, as in an emulator.
        images: where the slice lies; the scores of all of it are wanted of the subject.
    """
    job: dict[str, Any] = {"id": id, "threads": threads, "models": models}
    job["scores"] = {"images": images, "workers": workers}
    if golden:
        job["golden"] = golden
    if protocol:
        job["protocol"] = {"images": images, **protocol.model_dump(mode="json")}
        if len(models) > 1:
            job["latency"] = {"images": images, **INTERLEAVED}
    return job
