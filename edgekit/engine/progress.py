"""How far a command is, as a program reads it: one JSON object a line."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ProgressKind(StrEnum):
    WAITING = "waiting"
    """Another build is at the step; its result is waited for."""
    STARTED = "started"
    PROGRESS = "progress"
    FINISHED = "finished"
    FAILED = "failed"
    """The step; a command that fails says so with its exit code."""
    REMARK = "remark"
    """A line for a person."""


class ProgressEvent(BaseModel):
    """What happened to a step of a build, or to work that is no step, where `step` is null."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    event: ProgressKind
    step: str | None = None
    """Its name, as `edgekit plan` shows it."""
    done: int | None = Field(default=None, ge=0)
    total: int | None = Field(default=None, ge=0)
    note: str = ""
    """What is being done; why a step runs, or why it failed; or the remark."""
    ran: bool | None = None
    """Of a finished step: false where its result was kept from an earlier build."""
    seconds: float | None = None
    """That a step took when it ran."""
    seconds_left: float | None = None
    """That the step will take from here, by how fast it went on this machine; null in its first
    seconds."""


class Pace:
    """How long the rest of a step takes, by how fast it has gone."""

    LEAST_SECONDS = 5.0
    """Watched before anything is said."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, int, float] | None = None
        """Units done, of how many, and when."""

    def seconds_left(self, done: int, total: int) -> float | None:
        """None where it is too early to tell. To be called with each progress."""
        now = self._clock()
        if self._first is None or done <= self._first[0] or total != self._first[1]:
            # Not from the start of the step: it loads libraries first, or resumes. What comes next
            # in it has a pace of its own.
            self._first = done, total, now
            return None
        before, _, since = self._first
        if now - since < self.LEAST_SECONDS:
            return None
        return (now - since) / (done - before) * (total - done)


def duration(seconds: float) -> str:
    """
    >>> duration(8.4), duration(76), duration(540), duration(9000)
    ('8 seconds', '76 seconds', '9 minutes', '2.5 hours')
    """
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
