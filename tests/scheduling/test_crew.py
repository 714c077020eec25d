"""Real workers run the steps of real plans: once each, in any order that the plan allows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edgekit.engine.artifact import Artifact
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, EdgekitError, Fault, WorkerFailed
from edgekit.scheduling import local
from edgekit.scheduling.crew import StepCrew
from edgekit.scheduling.local import LocalWorkers
from tests.scheduling.actions import Dies, Fails, FailsInALibrary, Work, step


class Listening(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def started(self, step: Step) -> None:
        self.heard.append(f"started {step.id}")

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        self.heard.append(f"{done}/{total} {note}")

    def finished(self, step: Step, artifact: Artifact, ran: bool) -> None:
        self.heard.append(f"finished {step.id} {ran}")

    def remark(self, line: str) -> None:
        self.heard.append(line)


@pytest.fixture
def crew(store: Store) -> Iterator[StepCrew]:
    with StepCrew(store, LocalWorkers(store.root, 2)) as crew:
        yield crew


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def words(store: Store, one: Step) -> str:
    found = store.find(one.key)
    assert found
    return found.file("words").read_text()


def spans(log: Path) -> dict[str, tuple[int, int]]:
    """The lines at which each word begins and ends."""
    lines = [line.split()[:2] for line in log.read_text().splitlines()]
    return {w: (lines.index([w, "begins"]), lines.index([w, "ends"])) for w, _ in lines}


def test_what_is_needed_is_made_by_workers_each_step_once(
    store: Store, crew: StepCrew, log: Path
) -> None:
    trunk = step(Work("trunk", log))
    arms = [step(Work(f"arm-{n}", log, 0.5), trunk) for n in range(2)]
    last = step(Work("last", log), *arms)
    seen = Listening()
    with Executor(store, seen, crew) as executor:
        executor.perform_needed([trunk, *arms, last], [last.id])
    assert words(store, last) == "trunk arm-0 trunk arm-1 last"
    assert log.read_text().count("begins") == 4
    assert executor.ran == {one.id for one in (trunk, *arms, last)}
    assert str(os.getpid()) not in log.read_text()
    assert spans(log)["arm-1"][0] < spans(log)["arm-0"][1]  # both at once
    assert seen.heard[:3] == ["started trunk", "1/2 working", "finished trunk True"]
    with Executor(store, seen, crew) as executor:
        executor.perform_needed([trunk, *arms, last], [last.id])
    assert log.read_text().count("begins") == 4
    assert executor.ran == set()


def test_builds_side_by_side_share_a_step_and_come_back_in_order(
    store: Store, crew: StepCrew, log: Path
) -> None:
    trunk = step(Work("trunk", log, 0.3))

    def build(number: int) -> str:
        own = step(Work(f"own-{number}", log, 0.4 - 0.1 * number), trunk)
        with Executor(store, Silent(), crew) as executor:
            executor.perform_needed([trunk, own], [own.id])
        return words(store, own)

    assert list(crew.in_order(build, range(3))) == [f"trunk own-{n}" for n in range(3)]
    assert log.read_text().count("trunk begins") == 1


def test_nothing_runs_beside_a_step_that_times(store: Store, crew: StepCrew, log: Path) -> None:
    steps = [step(Work(f"w{n}", log, 0.1, alone=n % 2 == 0)) for n in range(6)]
    with Executor(store, Silent(), crew) as executor:
        executor.perform_needed(steps, [one.id for one in steps])
    for word, (begin, end) in spans(log).items():
        if int(word[1:]) % 2 == 0:
            assert end == begin + 1


def test_the_step_of_a_killed_worker_runs_again(store: Store, crew: StepCrew, log: Path) -> None:
    one, seen = step(Dies("dies", log, times=2)), Listening()
    with Executor(store, seen, crew) as executor:
        executor.perform(one)
    assert words(store, one) == "dies"
    assert "dies: its worker ended with signal SIGKILL" in seen.heard
    assert seen.heard[-1] == "finished dies True"


def test_a_step_that_kills_every_worker_fails_and_the_others_go_on(
    store: Store, crew: StepCrew, log: Path
) -> None:
    with Executor(store, Silent(), crew) as executor:
        with pytest.raises(WorkerFailed, match="3 workers ended at it, the last with signal SIGK"):
            executor.perform(step(Dies("dies", log, times=9)))
        well = step(Work("well", log))
        executor.perform(well)
    assert words(store, well) == "well"


@pytest.mark.parametrize("ahead", [False, True])
def test_what_a_step_raises_comes_back_whole(
    store: Store, crew: StepCrew, log: Path, ahead: bool
) -> None:
    fails, odd = step(Fails("fails", log)), step(FailsInALibrary("odd", log))
    after = step(Work("after", log), fails)
    with Executor(store, Silent(), crew) as executor:
        if ahead:
            executor.begin([fails, odd, after])
            until(lambda: log.exists() and log.read_text().count("begins") == 2)
        with pytest.raises(DeviceError, match="no board") as caught:
            executor.perform(fails)
        assert (caught.value.hint, caught.value.fault) == ("plug it in", Fault.UNREACHABLE)
        assert "in work" in str(caught.value.__cause__)
        with pytest.raises(Exception, match="odd shape 3") as strange:
            executor.perform(odd)
        assert type(strange.value).__name__ == "Strange"
    assert log.read_text().count("begins") == 2
    assert store.find(after.key) is None


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_workers_that_cannot_start_are_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PROGRAM", "edgekit.no_such_module")
    with (
        pytest.raises(EdgekitError, match="workers end as they start, with exit code 1"),
        StepCrew(store, LocalWorkers(store.root, 2)) as crew,
        Executor(store, Silent(), crew) as executor,
        suppress(Exception),  # as a search takes what fails for the candidate's fault
    ):
        executor.perform(step(Work("word", Path("log"))))


HEAD = """
import sys, json
from pathlib import Path
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.scheduling.crew import StepCrew
from edgekit.scheduling.local import LocalWorkers
from tests.scheduling.actions import Work, step
root, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
store = Store(root)
trunk = step(Work("trunk", log))
arms = [step(Work(f"arm-{n}", log, seconds), trunk) for n in range(2)]
last = step(Work("last", log), *arms)
try:
    with StepCrew(store, LocalWorkers(root, 2)) as crew:
        with Executor(store, Silent(), crew) as executor:
            executor.perform_needed([trunk, *arms, last], [last.id])
except KeyboardInterrupt:
    raise SystemExit(130)
print(json.dumps([store.find(one.key).digest for one in (trunk, *arms, last)]))
"""


def head(store: Path, log: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD, str(store), str(log), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def workers_of(log: Path) -> list[int]:
    return [int(line.split()[-1]) for line in log.read_text().splitlines() if "begins" in line]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGINT], [signal.SIGINT] * 2])
def test_a_stopped_head_leaves_no_worker_and_goes_on_to_the_same_result(
    tmp_path: Path, signals: list[signal.Signals]
) -> None:
    whole = head(tmp_path / "whole", tmp_path / "log-whole", 0.0)
    digests = json.loads(whole.communicate(timeout=120)[0])
    store, log = tmp_path / "store", tmp_path / "log"
    stopped = head(store, log, 60.0)
    until(lambda: log.exists() and log.read_text().count("arm") == 2)
    for one in signals:
        stopped.send_signal(one)
        time.sleep(0.2)
    expected = {signal.SIGKILL: [-signal.SIGKILL], signal.SIGINT: [130]}[signals[0]]
    if len(signals) > 1:  # the second one may come while the script itself ends
        expected += [1, -signal.SIGINT]
    assert stopped.wait(30) in expected
    until(lambda: not any(map(is_alive, workers_of(log))))
    again = head(store, log, 0.0)
    assert json.loads(again.communicate(timeout=120)[0]) == digests
    assert log.read_text().count("trunk begins") == 1
    assert not [path for path in (store / "temp").iterdir() if path.is_dir()]
