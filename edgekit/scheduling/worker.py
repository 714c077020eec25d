"""A worker: a process that runs the steps it is given, and says how each goes.

    python -P -m edgekit.scheduling.worker CONNECTION PARENT STORE

It ends with its parent, however that ends.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from edgekit.engine import _kernel
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.engine.store import Store
from edgekit.scheduling.messages import (
    Done,
    Event,
    Failed,
    Progressed,
    Remarked,
    Started,
    StepJob,
    Waiting,
    WorkerReady,
)


class Telling(Silent):
    """Hands on what happens to a step."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell

    def waiting(self, step: Step) -> None:
        self._tell(Waiting())

    def started(self, step: Step) -> None:
        self._tell(Started())

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        self._tell(Progressed(done, total, note))

    def remark(self, line: str) -> None:
        self._tell(Remarked(line))


def perform(executor: Executor, job: StepJob) -> Done | Failed:
    """Run one step; what it raises is its result."""
    step = job.step
    executor.artifacts.update({step.inputs[role]: one for role, one in job.given.items()})
    executor.ran.discard(step.id)
    try:
        executor.perform(step, {role: step.inputs[role] for role in job.given})
    except Exception as error:
        return Failed.of(error)
    return Done(step.id in executor.ran)


def _until_interrupted(executor: Executor, job: StepJob) -> Done | Failed:
    """Only a step can be interrupted: what runs before and after clears up, or would say so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return perform(executor, job)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> None:
    connection, parent, store = Connection(int(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _kernel.die_with(parent)
    with (
        suppress(EOFError, ConnectionError, KeyboardInterrupt),  # nobody waits for it any more
        Executor(Store(store), Telling(connection.send)) as executor,
    ):
        connection.send(WorkerReady())
        while True:
            connection.send(_until_interrupted(executor, connection.recv()))


if __name__ == "__main__":
    main()
