"""Latencies of models that were timed together, and what times them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from edgekit.engine.action import Progress
from edgekit.engine.artifact import Json
from edgekit.evidence import Evidence
from edgekit.runtimes.contract.input_form import InputForm

DISTURBED = 2.0
"""Times the median that the 90th percentile may take: 1.0 to 1.5 was seen with another job on the
other core, and 7 where three jobs shared two cores and the ratio was wrong by a factor of four."""


class Ready(BaseModel):
    """Inputs that lie ready for the model, and are no images to us."""

    dtype: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Candidate:
    """A model file to run, and how it is fed."""

    id: str
    runtime: str
    path: Path
    form: InputForm | Ready
    device: str = "CPU"
    images: Path | None = None
    """Its own, where it takes others than the run's: for latencies alone."""


@dataclass(frozen=True)
class Timing:
    """Latencies of one model, in seconds. `rounds` has shape (rounds, runs a round)."""

    load: float
    first: float
    rounds: NDArray[np.float64]
    lengths: tuple[int, ...] = ()
    """Rounds of each process, which follow one another; empty where there was one process."""

    @property
    def medians(self) -> NDArray[np.float64]:
        return np.asarray(np.median(self.rounds, axis=1))

    @property
    def typical(self) -> float:
        """The median over rounds of the quickest run of each: an interruption only ever adds."""
        return float(np.median(self.rounds.min(axis=1)))

    @property
    def processes(self) -> list[NDArray[np.float64]]:
        """The medians of each process's rounds."""
        return np.split(self.medians, np.cumsum(self.lengths, dtype=int)[:-1])

    @property
    def disturbed(self) -> bool:
        """Whether something else took the processor while the model was timed."""
        p50, p90 = np.percentile(self.rounds, (50, 90))
        return bool(p90 > DISTURBED * p50)


@dataclass(frozen=True)
class MeasureResult:
    environment: dict[str, Any]
    scores: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    timings: dict[str, Timing] = field(default_factory=dict)

    @property
    def disturbed(self) -> bool:
        """They were interleaved: what took the processor from one bears on all."""
        return any(timing.disturbed for timing in self.timings.values())


class Machine(Protocol):
    """What models are timed on: this machine, or a device of the user's."""

    @property
    def name(self) -> str: ...

    @property
    def threads(self) -> int: ...

    @property
    def evidence(self) -> Evidence: ...

    def identity(self) -> Json:
        """What its timings depend on beside the model, for keys. Not the agent's digest: for a
        comment changed there a network would be cut and trained anew. What of the agent bears on
        timings is the protocol."""
        ...

    def time(self, candidates: list[Candidate], images: Path, progress: Progress) -> MeasureResult:
        """Interleaved latencies of the candidates, from one run.

        Args:
            images: a .npy file, uint8 (images, height, width, 3).

        Raises:
            DeviceError: the run broke, or is not to be believed.
        """
        ...
