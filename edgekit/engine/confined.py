"""Run tasks on a model from elsewhere in a process that can do no harm, and take what they leave.

The process is not trusted: what it says is read as plain data, and what it leaves is looked at
before it is taken.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from edgekit import errors
from edgekit.engine import _confined_child, lease
from edgekit.engine._confined_child import OUT_OF_MEMORY, Task
from edgekit.engine.action import Progress
from edgekit.engine.confined_errors import crash, no_answer, too_long, too_much
from edgekit.engine.confined_files import take
from edgekit.engine.confinement import WAKE_MILLISECONDS, Confinement
from edgekit.errors import EdgekitError
from edgekit.printable import one_line, printable

Answer = TypeVar("Answer", bound=BaseModel)

MAX_ANSWER = 64 << 20
"""Bytes of one line: what a file of a million operators is described with."""
GRACE = 5.0
"""Seconds from the end of its answers to its own."""
MAX_SAID = 4000
"""Bytes of the process's own words that --debug shows, the last ones."""


class AnswerLine(BaseModel):
    """It has one of `progress`, `result` and `error`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    progress: tuple[NonNegativeInt, NonNegativeInt, str] | None = None
    result: dict[str, Any] | None = None
    error: str | None = None
    message: str = ""
    hint: str | None = None
    trace: str = ""


class TimeLeft:
    """Of a task, which has begun: from one sign of progress to the next, and altogether."""

    def __init__(self, limits: Confinement) -> None:
        self.limits = limits
        self._end = time.monotonic() + limits.seconds_altogether
        self.begin()

    def begin(self) -> None:
        self._next = time.monotonic() + self.limits.seconds

    def seconds(self) -> float:
        return min(self._next, self._end) - time.monotonic()

    def exceeded(self) -> str:
        """What to say where none is left."""
        subject = self.limits.subject
        if self._next < self._end:
            return f"{subject} makes no progress for {self.limits.seconds:.0f} s"
        return f"{subject} is not done after {self.limits.seconds_altogether:.0f} s"


class ConfinedProcess:
    """A process that may write in one folder alone. It is started with the first task, as the
    libraries that it loads take seconds, and ends with the context."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._said = -1
        self._open = ExitStack()
        self._poll = select.poll()
        self._unread = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def run(
        self,
        limits: Confinement,
        function: Callable[..., BaseModel],
        arguments: tuple[Any, ...],
        kind: type[Answer],
        into: Path,
        progress: Progress,
    ) -> Answer:
        """Call `function(*arguments, into=, progress=)` in the process.

        Args:
            function: of a module, so that the process finds it by its name.
            arguments: what can be pickled.
            kind: what it returns.
            into: gets the files that it leaves in its own `into`.

        Raises:
            EdgekitError: what the function raises.
            InputError: the limits were reached, or the process crashed.
        """
        process = self._process or self._start()
        work = Path(tempfile.mkdtemp(prefix="work", dir=self._folder))
        time_left = TimeLeft(limits)
        try:
            self._give(process, Task(limits, function, arguments, work), time_left)
            found = self._result(limits, kind, progress, time_left)
            take(work, into, limits.memory)
            return found
        except BrokenPipeError:
            raise self._how_it_ended(limits) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _start(self) -> subprocess.Popen[bytes]:
        temporary = self._folder / "tmp"
        temporary.mkdir(exist_ok=True)
        self._answers, theirs = os.pipe()
        self._open.callback(os.close, self._answers)
        self._poll.register(self._answers, select.POLLIN)
        self._said = os.open(self._folder / "said", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._open.callback(os.close, self._said)
        environment = {
            **{name: value for name, value in os.environ.items() if name != lease.VARIABLE},
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(temporary),
            "CUDA_VISIBLE_DEVICES": "-1",  # its devices are files that cannot be written
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        }
        command = [sys.executable, "-P", "-m", _confined_child.__name__]
        self._process = subprocess.Popen(
            [*command, str(theirs), str(os.getpid()), str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            env=environment,
            pass_fds=[theirs],
            start_new_session=True,
        )
        os.close(theirs)
        return self._process

    def _give(self, process: subprocess.Popen[bytes], task: Task, time_left: TimeLeft) -> None:
        """It may not read: a pipe takes 64 KB, and then it would be waited for."""
        assert process.stdin is not None
        unwritten = memoryview(pickle.dumps(task))
        pipe = process.stdin.fileno()
        os.set_blocking(pipe, False)
        poll = select.poll()
        poll.register(pipe, select.POLLOUT)
        while unwritten:
            if poll.poll(self._wait(time_left)):
                unwritten = unwritten[os.write(pipe, unwritten) :]

    def _result(
        self, limits: Confinement, kind: type[Answer], progress: Progress, time_left: TimeLeft
    ) -> Answer:
        while True:
            line = self._line(limits, time_left)
            try:
                told = AnswerLine.model_validate_json(line)
                if told.result is not None:
                    return kind.model_validate_json(json.dumps(_cleared(told.result)))
            except ValidationError:
                raise self._ended(no_answer(limits)) from None
            if told.error == OUT_OF_MEMORY:
                raise self._ended(too_much(limits)) from EdgekitError(printable(told.trace))
            if told.error is not None:
                raise _error(told)
            if told.progress is not None:
                time_left.begin()
                done, total, note = told.progress
                progress(done, total, one_line(note))

    def _line(self, limits: Confinement, time_left: TimeLeft) -> bytes:
        """The next line of an answer.

        Raises:
            WeightsError: the time is over, the process has ended, or the line has no end.
        """
        searched = 0
        while True:
            milliseconds = self._wait(time_left)
            end = self._unread.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._unread[:end])
                del self._unread[: end + 1]
                return line
            searched = len(self._unread)
            if searched > MAX_ANSWER:
                raise self._ended(no_answer(limits))
            ready = self._poll.poll(milliseconds)
            more = os.read(self._answers, 1 << 16) if ready else b""
            if ready and not more:
                raise self._how_it_ended(limits)
            self._unread += more

    def _wait(self, time_left: TimeLeft) -> float:
        """Milliseconds to wait for it.

        Raises:
            WeightsError: the time is over.
        """
        left = time_left.seconds()
        if left <= 0:
            raise self._ended(too_long(time_left.limits, time_left.exceeded()))
        return min(1000 * left, WAKE_MILLISECONDS)

    def _how_it_ended(self, limits: Confinement) -> EdgekitError:
        """What to say where the process ended by itself."""
        process = self._process
        assert process is not None
        try:
            code: int | None = process.wait(GRACE)
        except subprocess.TimeoutExpired:  # it closed its end, and lives on
            code = None
        start = max(0, os.fstat(self._said).st_size - MAX_SAID)
        said = os.pread(self._said, MAX_SAID, start).decode(errors="replace")
        words = printable(said).strip().splitlines()
        self.end()
        error = crash(limits, code, words)
        error.__cause__ = EdgekitError("\n".join(words))
        return error

    def _ended(self, error: EdgekitError) -> EdgekitError:
        self.end()
        return error

    def end(self) -> None:
        """Kill it, with all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.close()
        self._poll.unregister(self._answers)
        self._open.close()
        self._unread = bytearray()


def _error(told: AnswerLine) -> EdgekitError:
    """An error of edgekit's own, as it was raised there."""
    kind = getattr(errors, told.error or "", None)
    if not (isinstance(kind, type) and issubclass(kind, EdgekitError)):
        kind = EdgekitError
    error = kind.__new__(kind)  # some make their message themselves
    # On a line each, so that no model can write a hint of its own below.
    EdgekitError.__init__(error, one_line(told.message), hint=told.hint and one_line(told.hint))
    error.__cause__ = EdgekitError(printable(told.trace))
    return error


def _cleared(told: Any) -> Any:
    """What was answered, its texts printable."""
    if isinstance(told, str):
        return printable(told)
    if isinstance(told, list):
        return [_cleared(each) for each in told]
    if isinstance(told, dict):
        return {printable(key): _cleared(each) for key, each in told.items()}
    return told
