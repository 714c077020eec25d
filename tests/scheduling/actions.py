"""Steps that workers of the tests run, in files that they can import."""

from __future__ import annotations

import atexit
import os
import signal
import struct
import sys
import time
from pathlib import Path

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata
from edgekit.engine.step import Step, components_of
from edgekit.engine.step_id import StepId
from edgekit.errors import DeviceError, Fault


class Work(Action):
    """Notes in a file when it begins and ends, and leaves the words of its inputs with its own."""

    def __init__(self, word: str, log: Path, seconds: float = 0.0, alone: bool = False) -> None:
        self.word, self.log, self.seconds, self.alone = word, log, seconds, alone

    @property
    def times(self) -> bool:
        return self.alone

    def settings(self) -> Json:
        return {"word": self.word}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        note(self.log, f"{self.word} begins {os.getpid()}")
        context.progress(1, 2, "working")
        self.work()
        words = [inputs[role].file("words").read_text() for role in sorted(inputs)]
        (into / "words").write_text(" ".join([*words, self.word]))
        note(self.log, f"{self.word} ends {os.getpid()}")
        return Metadata()

    def work(self) -> None:
        time.sleep(self.seconds)


class Dies(Work):
    """Its process is killed, as often as is asked for."""

    def __init__(self, word: str, log: Path, times: int) -> None:
        super().__init__(word, log)
        self.deaths = times

    def work(self) -> None:
        begun = self.log.read_text().count(f"{self.word} begins")
        if begun <= self.deaths:
            self.before()
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self) -> None:
        pass


class DiesAnswering(Dies):
    """Its process is killed in the middle of a message."""

    def before(self) -> None:
        os.write(int(sys.argv[1]), struct.pack("!i", 1 << 20) + b"half")


class DiesWithAChild(Dies):
    """It leaves a process that holds all that it had open."""

    def before(self) -> None:
        if os.fork() == 0:
            time.sleep(600)


class LeavesSlowly(Work):
    """Its process is interrupted while it ends by itself."""

    def work(self) -> None:
        atexit.register(self.leave)

    def leave(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        note(self.log, "has left")


class Fails(Work):
    def work(self) -> None:
        raise DeviceError("no board", hint="plug it in", fault=Fault.UNREACHABLE)


class FailsInALibrary(Work):
    def work(self) -> None:
        raise Strange("odd shape", 3)


class Strange(Exception):
    """It cannot be made from its words alone."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(f"{message} {number}")


def note(log: Path, line: str) -> None:
    with log.open("a") as stream:
        stream.write(f"{line}\n")


def step(action: Work, *needs: Step) -> Step:
    inputs = {f"from-{number}": one for number, one in enumerate(needs)}
    return Step(
        id=StepId(action.word),
        action=action,
        inputs={role: one.id for role, one in inputs.items()},
        components=components_of(action, {role: one.key for role, one in inputs.items()}),
    )
