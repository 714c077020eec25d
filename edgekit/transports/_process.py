"""Run a program of this machine that leads to a device, and read what it says line by line."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgekit.errors import DeviceError, Fault
from edgekit.transports.base import Completed, Listener


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
    try:
        with ExitStack() as files:
            process = subprocess.Popen(
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
    out: list[str] = []
    err: list[str] = []
    failures: list[Exception] = []

    def read_out() -> None:
        for line in process.stdout or ():
            out.append(line)
            # Whatever the listener does: a pipe that nobody reads stops the program.
            try:
                if on_line and not failures:
                    on_line(line.rstrip("\n"))
            except Exception as error:
                failures.append(error)

    def read_err() -> None:
        assert process.stderr is not None
        err.extend(process.stderr)

    readers = [threading.Thread(target=read, daemon=True) for read in (read_out, read_err)]
    for reader in readers:
        reader.start()
    try:
        code = process.wait(timeout)
        # What it leaves in the background may hold them open: don't wait for its end.
        for reader in readers:
            reader.join(timeout=5)
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
    if failures:
        raise failures[0]
    return Completed(code, "".join(out), "".join(err))


PACKAGES = {"ssh": "openssh-client", "adb": "adb"}
ENGLISH_LOCALE = {"LC_ALL": "C"}
"""Programs are understood by what they print. Python takes UTF-8 for its files all the same."""
