"""Builds side by side end with what ends the command, wherever each of them is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.scheduling.crew import StepCrew
from edgekit.scheduling.local import LocalWorkers
from tests.scheduling.actions import Work, step
from tests.scheduling.test_crew import until

pytestmark = pytest.mark.timeout(120)


def test_a_build_that_comes_to_a_step_after_an_interrupt_ends(store: Store, tmp_path: Path) -> None:
    """It had its last result before, and waits for its turn."""
    main, log = threading.main_thread().ident, tmp_path / "log"
    assert main
    first, second, third = (step(Work(f"w{n}", log, float(n))) for n in range(3))

    def build(number: int) -> None:
        with Executor(store, Silent(), crew) as executor:
            if number == 0:
                executor.perform(first)
                until(log.exists)
                signal.pthread_kill(main, signal.SIGINT)
                until(lambda: store.find(second.key) is not None)
                time.sleep(0.5)
            else:
                executor.perform(second)
                executor.perform(third)

    with StepCrew(store, LocalWorkers(store.root, 2)) as crew, pytest.raises(KeyboardInterrupt):
        list(crew.in_order(build, range(2)))
    assert "w2" not in log.read_text()


def test_where_the_command_ends_between_two_results_no_build_is_begun(store: Store) -> None:
    begun = []

    def build(number: int) -> None:
        begun.append(number)
        time.sleep(0.05)

    def command() -> None:
        with StepCrew(store, LocalWorkers(store.root, 2)) as crew:
            for _ in crew.in_order(build, range(1000)):
                raise KeyError("the disk is full")

    with pytest.raises(KeyError):
        command()
    time.sleep(0.5)
    assert len(begun) < 10


HEAD = """
import sys, time
from pathlib import Path
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.scheduling.crew import StepCrew
from edgekit.scheduling.local import LocalWorkers
from tests.scheduling.actions import Work, step
store, log = Store(Path(sys.argv[1])), Path(sys.argv[2])
def build(number):
    with Executor(store, Silent(), crew) as executor:
        print(number, flush=True)
        time.sleep(1)
        executor.perform(step(Work(f"w{number}", log, 60)))
try:
    with StepCrew(store, LocalWorkers(store.root, 2)) as crew:
        list(crew.in_order(build, range(20)))
except KeyboardInterrupt:
    raise SystemExit(130)
"""


@pytest.mark.parametrize("pause", [None, 0.0, 0.3, 1.5])
def test_ctrl_c_once_or_twice_ends_builds_that_have_no_step_yet(
    tmp_path: Path, pause: float | None
) -> None:
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD, str(tmp_path / "store"), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert head.stdout
    assert head.stdout.readline() == "0\n"
    head.send_signal(signal.SIGINT)
    if pause is not None:
        time.sleep(pause)
        head.send_signal(signal.SIGINT)
    try:
        assert head.wait(12) in (130, 1, -signal.SIGINT)
    finally:
        head.kill()
