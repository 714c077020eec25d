"""However a worker ends, its step is known to be lost."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.scheduling.crew import StepCrew
from edgekit.scheduling.local import LocalWorkers
from tests.scheduling.actions import Dies, DiesAnswering, DiesWithAChild, LeavesSlowly, Work, step
from tests.scheduling.test_crew import Listening


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [DiesAnswering, DiesWithAChild])
def test_a_worker_that_dies_in_an_answer_or_leaves_a_child_is_lost(
    store: Store, tmp_path: Path, kind: type[Dies]
) -> None:
    one, seen = step(kind("dies", tmp_path / "log", times=1)), Listening()
    with (
        StepCrew(store, LocalWorkers(store.root, 2)) as crew,
        Executor(store, seen, crew) as executor,
    ):
        executor.perform(one)
    assert "dies: its worker ended with signal SIGKILL" in seen.heard


def test_a_worker_that_ends_by_itself_says_nothing(
    store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    with (
        StepCrew(store, LocalWorkers(store.root, 1)) as crew,
        Executor(store, Silent(), crew) as executor,
    ):
        executor.perform(step(LeavesSlowly("slow", log)))
    assert log.read_text().endswith("has left\n")
    assert capfd.readouterr().err == ""


def test_more_workers_than_can_be_started_are_refused(store: Store, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = [os.dup(0) for _ in range(12)]
    for descriptor in room:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(room) + 1, hard))
    try:
        with (
            pytest.raises(InputError, match="workers cannot be started: Too many open") as caught,
            StepCrew(store, LocalWorkers(store.root, 99)) as crew,
            Executor(store, Silent(), crew) as executor,
        ):
            executor.perform(step(Work("word", tmp_path / "log")))
        assert caught.value.hint == "take fewer: --workers auto"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
