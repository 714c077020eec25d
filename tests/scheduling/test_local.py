"""However a worker ends, its step is known to be lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.engine.executor import Executor
from edgekit.engine.store import Store
from edgekit.scheduling.crew import StepCrew
from edgekit.scheduling.local import LocalWorkers
from tests.scheduling.actions import Dies, DiesAnswering, DiesWithAChild, step
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
