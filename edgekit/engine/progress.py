"""How far a command is, as a program reads it: one JSON object a line."""

from __future__ import annotations

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
