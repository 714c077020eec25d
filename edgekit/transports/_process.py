"""Run a program of this machine that leads to a device, and read what it says line by line."""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from edgekit.engine.confinement import WAKE_MILLISECONDS
from edgekit.errors import DeviceError, Fault
from edgekit.transports.base import Completed, Listener

PACKAGES = {"ssh": "openssh-client", "adb": "adb"}
ENGLISH_LOCALE = {"LC_ALL": "C"}
"""Programs are understood by what they print. Python takes UTF-8 for its files all the same."""


def run_process(
    command: Sequence[str],
    device: str,
    timeout: float | None,
    on_line: Listener | None = None,
    source: Path | None = None,
    sink: Path | None = None,
) -> Completed:
    """Run a program to its end; it and what it started are gone afterwards, whatever happens.

    Args:
        device: whom to name where it fails.
        source: a file for its stdin; nothing by default.
        sink: a file for its stdout, byte by byte; `Completed.out` is empty then.

    Raises:
        DeviceError: the time is over, or the program is not installed.
        Exception: what `on_line` raised, once the program has ended.
    """
    process = _start(command, device, source, sink)
    output = _Output(process, on_line)
    try:
        code = _end_of(process, timeout)
        output.join()
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{device}: no answer within {timeout:g} seconds: {command[-1][:200]}",
            hint="the device hangs or is overloaded; try again, or restart it",
            fault=Fault.NO_ANSWER,
        ) from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if output.failure:
        raise output.failure
    return Completed(code, "".join(output.out), "".join(output.err))


def _start(
    command: Sequence[str], device: str, source: Path | None, sink: Path | None
) -> subprocess.Popen[str]:
    try:
        with ExitStack() as files:
            return subprocess.Popen(
                command,
                stdin=files.enter_context(source.open("rb")) if source else subprocess.DEVNULL,
                stdout=files.enter_context(sink.open("wb")) if sink else subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=os.environ | ENGLISH_LOCALE,
                start_new_session=True,
            )
    except FileNotFoundError as error:
        raise DeviceError(
            f"{device}: the program {command[0]} is not on this machine",
            hint=f"install it, e.g. on Debian: apt-get install {PACKAGES.get(command[0], '')}",
            fault=Fault.MISSING_PROGRAM,
        ) from error


def _end_of(process: subprocess.Popen[str], timeout: float | None) -> int:
    """Wait until it ends, without the pauses of `Popen.wait`, which are longer than most commands.

    Raises:
        subprocess.TimeoutExpired: it did not.
    """
    try:
        ended = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # Linux before 5.3, or a Python that was built on one
        return process.wait(timeout)
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        while not poll.poll(min(WAKE_MILLISECONDS, 1000 * max(0, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                return process.wait(0)
    finally:
        os.close(ended)
    return process.wait()


class _Output:
    """What a process prints, read by a thread for each stream: one that is full stops it."""

    def __init__(self, process: subprocess.Popen[str], on_line: Listener | None) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self.failure: Exception | None = None
        """What the listener raised first."""
        self.on_line = on_line
        self.threads = [
            threading.Thread(target=self._read_out, args=(process.stdout or (),), daemon=True),
            threading.Thread(target=self.err.extend, args=(process.stderr or (),), daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        """Wait for the rest. What the process leaves in the background may hold the streams open:
        not for its end."""
        for thread in self.threads:
            thread.join(timeout=5)

    def _read_out(self, stream: Iterable[str]) -> None:
        for line in stream:
            self.out.append(line)
            # Whatever the listener does: a pipe that nobody reads stops the program.
            try:
                if self.on_line and not self.failure:
                    self.on_line(line.rstrip("\n"))
            except Exception as error:
                self.failure = error
