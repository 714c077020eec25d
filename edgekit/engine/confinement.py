"""How much a model from elsewhere may take while it is loaded, run or converted.

Loading such a file runs libraries on bytes that a stranger chose, and running it runs the
stranger's program. So both are done in a process of their own; docs/decisions/0018 says what of.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgekit.engine import _kernel
from edgekit.errors import InputError

Result = TypeVar("Result")
MEMORY, MINUTES = "EDGEKIT_MODEL_MEMORY_GB", "EDGEKIT_MODEL_MINUTES"
"""Variables that give a model more than it has by itself."""
DEFAULT_MINUTES = 10.0
IMAGE_SHARE = 20
"""The first image has this fraction of the time."""
LONG = 144
"""What tells how far it is may take so many times the time: a day."""
BASE = 4 << 30
"""Bytes that TensorFlow and its converter take for a small model, twice over."""
PER_CORE = 64 << 20
"""Bytes of the stacks and the pools that libraries make for each core."""
PER_BYTE = 12
"""Copies of the weights that loading and converting make, twice over."""
SHARE = 0.75
"""Of the machine's memory, at most."""
WAKE_MILLISECONDS = 500
"""Of whoever waits for a confined process: Ctrl-C does not end a wait where another thread took the
signal, or where it came just before."""
CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Confinement:
    """What a confined task may take, and what messages call the model."""

    subject: str
    memory: int
    """Bytes."""
    seconds: float
    long: bool = False
    """It may take longer, as a search does, with no more than `seconds` from one sign of progress
    to the next."""

    @property
    def seconds_altogether(self) -> float:
        return self.seconds * (LONG if self.long else 1)

    @property
    def seconds_an_image(self) -> float:
        return self.seconds / IMAGE_SHARE


def confinement(subject: str, size: int | None = None, *, long: bool = False) -> Confinement:
    """The limits for a model.

    Args:
        size: bytes of its files, where no more than one image at a time goes through it: its memory
            then goes by them.

    Raises:
        InputError: a variable that raises them is no number.
    """
    most = int(SHARE * _machine_memory())
    if size is not None:
        most = min(most, BASE + PER_CORE * (os.cpu_count() or 1) + PER_BYTE * size)
    asked = _number(MEMORY)
    seconds = 60 * (_number(MINUTES) or DEFAULT_MINUTES)
    return Confinement(subject, int(asked * (1 << 30)) if asked else most, seconds, long)


def unprevented() -> str:
    """A sentence on what this kernel cannot keep a confined process from; empty where it can."""
    missing = " or ".join(_kernel.missing())
    return missing and (
        f"this machine cannot keep the process that reads a model file from {missing}: take what "
        "you do not trust to Linux 5.13, better 6.12, or later"
    )


@contextmanager
def one_image() -> Iterator[Callable[[], None]]:
    """In a confined process: end it where what follows, a model run on one image, takes too long.

    The alarm kills the process. No thread or handler of Python's could end an operator that does
    not return.

    Yields:
        what to call as a further image begins.
    """
    limits = _in_force
    if limits is None:
        yield lambda: None
        return

    def begin() -> None:
        signal.setitimer(signal.ITIMER_REAL, limits.seconds_an_image)

    begin()
    try:
        yield begin
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def image_by_image(results: Iterator[Result]) -> Iterator[Result]:
    """The same results, each made in the time of `one_image`."""
    while True:
        with one_image():
            found = next(results, None)
        if found is None:
            return
        yield found


_in_force: Confinement | None = None


def enter(limits: Confinement) -> None:
    """Called by the confined process: from now on these limits hold."""
    global _in_force
    _in_force = limits


def is_confined() -> bool:
    """Whether this is a confined process."""
    return _in_force is not None


def _number(variable: str) -> float | None:
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise InputError(f"{variable} is {text!r}: a number above 0 expected, e.g. 30")
    return number


def _machine_memory() -> int:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(CGROUP.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # no control group, or no limit in it
        return whole
