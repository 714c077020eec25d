"""What to say where a model took more than it may, or ended the process that read it."""

from __future__ import annotations

import re
import signal

from edgekit.engine.confinement import MEMORY, MINUTES, Confinement
from edgekit.errors import EdgekitError, WeightsError, ending

NO_MEMORY = re.compile(
    r"bad_?alloc|bad allocation|cannot allocate|unable to allocate|failed to allocate"
    r"|\bOOM\b|out of memory|ResourceExhausted|MemoryError|File too large",
    re.IGNORECASE,
)
"""How libraries say that they were given no memory, or no room on the disk for as much."""

EXPORT_AGAIN = "a library cannot read this file: export it again, with another version or format"


def says_out_of_memory(text: str) -> bool:
    """Whether a traceback, or a library's last words, tell that memory was all it wanted."""
    return NO_MEMORY.search(text) is not None


def crash(limits: Confinement, code: int | None, words: list[str]) -> EdgekitError:
    """
    Args:
        code: None of a process that closed its answers and lived on, until it was killed.
    """
    if code == -signal.SIGALRM:
        seconds = f"{limits.seconds_an_image:.0f} s"
        return too_long(
            limits, f"running {limits.subject} on one image takes longer than {seconds}"
        )
    if code == -signal.SIGKILL or says_out_of_memory("\n".join(words)):
        return too_much(limits)
    if code is None:
        return hangs(limits)
    return WeightsError(
        f"{limits.subject} ends the process that reads it with {ending(code)}: "
        f"{words[-1] if words else 'nothing was said'}",
        hint=f"{EXPORT_AGAIN}; --debug shows all that was said",
    )


def hangs(limits: Confinement) -> EdgekitError:
    """More time would not help: it has told all that it will."""
    return WeightsError(
        f"{limits.subject}: the process that reads it closes its output and does not end",
        hint=EXPORT_AGAIN,
    )


class TooLong(WeightsError):
    """A task had no time left."""


def too_long(limits: Confinement, message: str) -> EdgekitError:
    return TooLong(
        message,
        hint="a classifier is done in a few seconds. If the file is to be trusted, give it more "
        f"minutes: export {MINUTES}={max(1, round(2 * limits.seconds / 60))}",
    )


def too_much(limits: Confinement) -> EdgekitError:
    size = limits.memory / (1 << 30)
    return WeightsError(
        f"{limits.subject} needs more memory, or a larger file, than the {size:.1f} GB that "
        "it may take",
        hint="a classifier needs far less. If the file is to be trusted, give it more: "
        f"export {MEMORY}={max(1, round(2 * size))}",
    )


def no_answer(limits: Confinement) -> EdgekitError:
    return WeightsError(
        f"{limits.subject}: the process that reads it gives no answer that can be understood",
        hint="do not use this file unless you know who made it",
    )
