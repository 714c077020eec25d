"""Workers on this machine, a process each.

Each computes with as many threads as a build without workers: the sums of a training, and with them
its weights, depend on their number.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

from edgekit.engine.action import GIGABYTE
from edgekit.errors import EdgekitError, InputError, ending
from edgekit.scheduling import worker
from edgekit.scheduling.hands import FalseStarts, Joined, Lost, MemoryNews, News, Said
from edgekit.scheduling.machine import available_memory, cores, resident_memory
from edgekit.scheduling.messages import Event, StepJob, WorkerReady

HERE = "here"
SECONDS = 0.5
"""Between two looks at the memory."""
GRACE = 5.0
"""Seconds in which a worker clears up before it is killed."""
PROGRAM = worker.__name__
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)


def workers_here() -> int:
    """As many as the machine has room for: one a core, with the memory of a training each."""
    free = available_memory()
    return max(1, min(cores(), cores() if free is None else free // (3 * GIGABYTE)))


@contextmanager
def _starting(workers: int) -> Iterator[None]:
    """
    Raises:
        InputError: no memory, no processes or no open files are left.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{workers} workers cannot be started: {error.strerror}",
            hint="take fewer: --workers auto",
        ) from error


@dataclass
class _Process:
    popen: subprocess.Popen[bytes]
    connection: Connection
    is_ready: bool = False


class LocalWorkers:
    home = ""

    def __init__(self, store: Path, count: int) -> None:
        self.count = count
        self._store = store
        self._processes: dict[str, _Process] = {}
        self._looked = 0.0
        self._false_starts = FalseStarts()
        self._names = Counter[str]()
        with _starting(count):
            self._awake, self._bell = Pipe(duplex=False)
        self._ringing = threading.Lock()
        self._hurry = threading.Event()

    def open(self) -> None:
        for number in range(self.count):
            self._start(f"worker-{number}")

    def give(self, worker: str, job: StepJob) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._processes[worker].connection.send(job)

    def news(self, seconds: float = SECONDS) -> list[News]:
        found: list[News] = []
        by_connection = {p.connection: name for name, p in self._processes.items()}
        for connection in wait([self._awake, *by_connection], seconds):
            assert isinstance(connection, Connection)
            if connection is self._awake:
                connection.recv_bytes()
                continue
            name = by_connection[connection]
            try:
                found.append(self._said(name, connection.recv()))
            except (EOFError, OSError):  # it ended, maybe in the middle of a message
                found += self._ended(name)
        return found + (self._look() if time.monotonic() - self._looked > SECONDS else [])

    def wake(self) -> None:
        with self._ringing:
            if not self._awake.poll():
                self._bell.send_bytes(b"!")

    def hurry(self) -> None:
        self._hurry.set()

    def close(self) -> None:
        for process in self._processes.values():
            process.connection.close()
            # One that is still starting has nothing to clear up.
            process.popen.send_signal(signal.SIGINT if process.is_ready else signal.SIGKILL)
        end = time.monotonic() + GRACE
        while self._alive() and time.monotonic() < end and not self._hurry.wait(0.05):
            pass
        for process in self._alive():
            with suppress(ProcessLookupError):
                os.killpg(process.popen.pid, signal.SIGKILL)
        for process in self._processes.values():
            process.popen.wait()

    def _alive(self) -> list[_Process]:
        return [p for p in self._processes.values() if p.popen.poll() is None]

    def _start(self, place: str) -> None:
        self._names[place] += 1
        name = f"{place}.{self._names[place]}"
        with _starting(len(self._processes) + 1):
            self._processes[name] = self._started()

    def _started(self) -> _Process:
        ours, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-P", "-m", PROGRAM, str(theirs.fileno())]
            popen = subprocess.Popen(
                [*command, str(os.getpid()), str(self._store)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what libraries print is no answer of the command's
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the head, which tells them
            )
        return _Process(popen, ours)

    def _said(self, name: str, event: Event | WorkerReady) -> News:
        if isinstance(event, WorkerReady):
            self._processes[name].is_ready = True
            self._false_starts.joined()
            return Joined(name, HERE)
        return Said(name, event)

    def _ended(self, name: str) -> list[News]:
        """A worker is gone: another takes its place."""
        process = self._processes.pop(name)
        process.connection.close()
        with suppress(ProcessLookupError):
            os.killpg(process.popen.pid, signal.SIGKILL)
        code = process.popen.wait()
        why = ending(code)
        if not process.is_ready and self._false_starts.one_more():
            raise EdgekitError(
                f"workers end as they start, with {why}",
                hint="what they say stands above; without them: --workers 1",
            )
        self._start(name.rpartition(".")[0])
        return [Lost(name, why, -code in CRASHES)] if process.is_ready else []

    def _look(self) -> list[News]:
        """At the processes and their memory, now and then."""
        self._looked = time.monotonic()
        # What a worker has started may hold its connection open when it is gone.
        dead = [n for n, p in self._processes.items() if p.popen.poll() is not None]
        silent = [name for name in dead if not self._processes[name].connection.poll()]
        lost = [news for name in silent for news in self._ended(name)]
        free = available_memory()
        if free is None:
            return lost
        used = {name: resident_memory(p.popen.pid) for name, p in self._processes.items()}
        return [*lost, MemoryNews(HERE, free, used)]
