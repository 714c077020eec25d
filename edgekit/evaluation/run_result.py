"""What a run of the agent on this machine leaves, read back and checked: the process that wrote it
has run a model from elsewhere, and is not trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from edgekit.engine.records import BadRecord, parse_record, shown
from edgekit.errors import Unsupported
from edgekit.evaluation.arrays import parse_array
from edgekit.evaluation.environment import Environment

MAX_RESULT = 64 << 20
"""Bytes of result.json; 300 rounds of a model take 20,000."""
MAX_SECONDS = 1e7
"""A third of a year: no run takes longer, and sums of such numbers stay numbers."""
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
RunSeconds = Annotated[float, Field(ge=1e-7, le=MAX_SECONDS)]
"""Of a run: a tenth of a microsecond at least, which is what a report keeps."""


class Interleaved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    load: Seconds
    first: Seconds
    rounds: list[list[RunSeconds]] = Field(min_length=1)
    """(rounds, runs a round)."""

    @field_validator("rounds")
    @classmethod
    def _of_equal_length(cls, rounds: list[list[float]]) -> list[list[float]]:
        lengths = {len(runs) for runs in rounds}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError("rounds of equal length expected, each of one run at least")
        return rounds


class HostResult(BaseModel):
    """What is taken of the agent's result."""

    environment: Environment
    latency: dict[str, Interleaved] = {}


def read_result(path: Path, subject: str, timed: Collection[str]) -> HostResult:
    """
    Args:
        timed: ids of the models that were to be timed.

    Raises:
        Unsupported: it is not what the agent writes.
    """
    try:
        found = parse_record(HostResult, _content(path, MAX_RESULT))
        if set(found.latency) != set(timed):
            raise BadRecord(f"latency: of {sorted(timed)} expected, not {shown([*found.latency])}")
        if len({len(entry.rounds) for entry in found.latency.values()}) > 1:
            raise BadRecord("latency: as many rounds of each model expected")
    except BadRecord as error:
        raise _no_result(subject, "the result", error) from error
    return found


def read_scores(path: Path, subject: str, images: int, most: int) -> NDArray[np.float32]:
    """float32 (images, classes).

    Args:
        most: bytes that the file may have.

    Raises:
        Unsupported: it is not what the agent writes.
    """
    try:
        found = parse_array(_content(path, most))
        if found.dtype != np.float32 or found.ndim != 2 or len(found) != images or not found.size:
            raise BadRecord(
                f"float32 ({images}, classes) expected, not {found.dtype} {shown(found.shape)}"
            )
    except BadRecord as error:
        raise _no_result(subject, "the file of the scores", error) from error
    return np.array(found)


def _content(path: Path, most: int) -> bytes:
    """
    Raises:
        BadRecord: there is no plain file of that size at most.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BadRecord(f"it cannot be read: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            raise BadRecord(f"a plain file of {most} bytes at most expected")
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(found.st_size)  # room for `most` may not be had
    finally:
        os.close(descriptor)


def _no_result(subject: str, what: str, problem: BadRecord) -> Unsupported:
    return Unsupported(
        f"running {subject} leaves no figures: {what} is none: {problem}",
        hint="do not use these files unless you know who made them",
    )
