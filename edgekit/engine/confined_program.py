"""Run a program that runs a model from elsewhere, under the limits of one that reads it.

They are put on before the program starts, and the kernel lets it raise none of them. So it needs to
know nothing of them, and what it times is what it would time without them.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from edgekit.engine import _kernel
from edgekit.engine.confined_errors import hangs, says_out_of_memory, too_long, too_much
from edgekit.engine.confinement import WAKE_MILLISECONDS, Confinement, is_confined
from edgekit.printable import printable

GRACE = 60.0
"""Seconds from the end of its stdout to its own."""
MAX_LINE = 1 << 20
"""Bytes; a line of progress has a hundred."""
MAX_SAID = 1 << 16
"""Bytes of its own words that are read, the last ones."""


def run_program(
    command: Sequence[str],
    folder: Path,
    limits: Confinement | None,
    on_line: Callable[[str], object],
) -> tuple[int, list[str]]:
    """Run a program to its end; it and what it started are gone afterwards, whatever happens. From
    a confined process, what it started is gone once that is.

    Args:
        folder: where it may write; gets its stderr.
        limits: None for what needs a device of this machine, and so cannot be confined. The time is
            that from one line of its stdout to the next.

    Returns:
        its exit code, and the end of what it said on stderr.

    Raises:
        WeightsError: the limits were reached.
    """
    before = limited(folder.absolute(), limits.memory, os.getpid()) if limits else []
    with (folder / "stderr").open("w+b") as said:
        process = subprocess.Popen(
            [*before, *command],
            stdin=subprocess.DEVNULL,  # not the user's terminal, which can be written to
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "TMPDIR": str(folder.absolute())},
            start_new_session=not is_confined(),  # which may not, and is ended with its group
        )
        try:
            for line in _lines(process, limits):
                on_line(line)
            _wait_for(process, limits)
        finally:
            with suppress(ProcessLookupError):
                if is_confined():
                    process.kill()
                else:
                    os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            assert process.stdout is not None
            process.stdout.close()
        words = _last_words(said)
    if limits and code and (code == -signal.SIGKILL or says_out_of_memory(words)):
        raise too_much(limits)
    return code, words.splitlines()


def _wait_for(process: subprocess.Popen[bytes], limits: Confinement | None) -> None:
    """It may have closed its end, and live on.

    Raises:
        WeightsError: it does, and has limits.
    """
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        if limits:
            raise hangs(limits) from None


def _last_words(said: BinaryIO) -> str:
    start = max(0, os.fstat(said.fileno()).st_size - MAX_SAID)
    return printable(os.pread(said.fileno(), MAX_SAID, start).decode(errors="replace")).strip()


def limited(folder: Path | str, memory: int, parent: int = 0) -> list[str]:
    """What to put before a command that may write in a folder alone.

    Args:
        memory: bytes that each of its processes may take.
        parent: the process to end with; 0 for none.
    """
    return [sys.executable, "-P", _kernel.__file__, str(parent), str(folder), str(memory)]


def _lines(process: subprocess.Popen[bytes], limits: Confinement | None) -> Iterator[str]:
    """The lines of its stdout, as they come.

    Raises:
        WeightsError: none came in time.
    """
    assert process.stdout is not None
    descriptor, unread = process.stdout.fileno(), b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        began = time.monotonic()
        while b"\n" not in unread:
            if limits and time.monotonic() > began + limits.seconds:
                raise too_long(
                    limits, f"running {limits.subject} makes no progress for {limits.seconds:.0f} s"
                )
            if not poll.poll(WAKE_MILLISECONDS):
                continue
            more = os.read(descriptor, 1 << 16)
            if not more:
                return
            unread = (unread + more)[-MAX_LINE:]
        line, _, unread = unread.partition(b"\n")
        yield line.decode(errors="replace")
