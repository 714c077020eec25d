"""A step has the machine for itself where it times."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import pytest

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata
from edgekit.engine.confinement import Confinement
from edgekit.engine.executor import Executor
from edgekit.engine.lease import lease_file, timing
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step, components_of
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from tests.engine.test_lease import holder


class FromElsewhere(Action):
    """A model from elsewhere is worked on, and maybe timed."""

    def __init__(self, may_time: bool) -> None:
        self._may_time = may_time

    @property
    def may_time(self) -> bool:
        return self._may_time

    def settings(self) -> Json:
        return {"may_time": self._may_time}

    def confinement(self, inputs: Inputs) -> Confinement:
        return Confinement("model.weights: m.onnx", memory=2 << 30, seconds=60)

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        with timing():
            context.progress(1, 1, "timing")
        return Metadata()


class Quick(Action):
    def settings(self) -> Json:
        return {}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        return Metadata()


def test_waiting_to_begin_is_no_time_of_the_step(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_LEASE", str(tmp_path / "lease"))
    step = Step(id=StepId("s"), action=Quick(), inputs={}, components=components_of(Quick(), {}))
    other = holder("timing", 1.0)
    began = time.perf_counter()
    with Executor(store, Silent()) as executor:
        found = executor.perform(step)
    assert other.wait() == 0
    assert time.perf_counter() - began > 0.5
    assert found.seconds < 0.2


class Another(Silent):
    """Another command, which would like to compute."""

    def __init__(self) -> None:
        self.may: list[bool] = []

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        with lease_file().open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                self.may.append(False)
            else:
                self.may.append(True)


@pytest.mark.parametrize("may_time", [True, False])
def test_a_confined_step_that_may_time_is_alone_from_the_beginning(
    store: Store, may_time: bool
) -> None:
    action, watching = FromElsewhere(may_time), Another()
    with Executor(store, watching) as executor:
        executor.perform(
            Step(id=StepId("s"), action=action, inputs={}, components=components_of(action, {}))
        )
    assert watching.may == [not may_time]
