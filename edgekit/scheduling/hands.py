"""What a crew needs of workers of any kind, and what it hears from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edgekit.scheduling.messages import Event, StepJob


@dataclass(frozen=True)
class Joined:
    worker: str
    machine: str


@dataclass(frozen=True)
class Lost:
    worker: str
    why: str
    """How it ended."""
    crashed: bool = False
    """By its step's own fault: it reached for memory that is not its own, say."""


@dataclass(frozen=True)
class Said:
    worker: str
    event: Event


@dataclass(frozen=True)
class MemoryNews:
    """Of a machine, in bytes."""

    machine: str
    available: int
    used: Mapping[str, int]


News = Joined | Lost | Said | MemoryNews


class FalseStarts:
    """Workers in a row that ended as they started."""

    MOST = 3
    """Then none will do."""

    def __init__(self) -> None:
        self._count = 0

    def joined(self) -> None:
        self._count = 0

    def one_more(self) -> bool:
        """Whether they are too many."""
        self._count += 1
        return self._count >= self.MOST


class Hands(Protocol):
    """Workers of one kind: processes here, or a cluster's."""

    count: int
    home: str
    """The machine that steps which time run on; any of them where empty."""

    def open(self) -> None: ...

    def give(self, worker: str, job: StepJob) -> None:
        """Where the worker is gone, `news` tells."""
        ...

    def news(self) -> list[News]:
        """What has happened; waits for a while where nothing has."""
        ...

    def wake(self) -> None:
        """Let `news` return."""
        ...

    def close(self) -> None:
        """End all workers, once they have cleared up."""
        ...

    def hurry(self) -> None:
        """Let `close` wait no longer."""
        ...
