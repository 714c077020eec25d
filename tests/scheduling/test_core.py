"""What the scheduler starts holds its promises, in whatever order things happen."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.scheduling.core import PATIENCE, RETRIES, Scheduler
from edgekit.scheduling.state import Start, StepTask


def scheduler(*workers: str, machine: str = "m") -> Scheduler:
    found = Scheduler()
    for worker in workers:
        found.join(worker, machine)
    return found


def keys(starts: list[Start]) -> list[str]:
    return [start.key for start in starts]


def test_a_step_waits_for_what_it_needs_and_runs_once() -> None:
    one = scheduler("a", "b")
    assert one.add(StepTask(key="train"))
    assert one.add(StepTask(key="compile", needs=frozenset({"train", "from an earlier build"})))
    assert not one.add(StepTask(key="train"))
    assert keys(one.decide()) == ["train"]
    assert one.decide() == []
    one.done("train")
    assert keys(one.decide()) == ["compile"]
    one.done("compile")
    assert one.open == 0


def test_what_somebody_waits_for_goes_first() -> None:
    one = scheduler("a")
    one.add(StepTask(key="early", urgent=False))
    one.add(StepTask(key="later", urgent=False))
    one.add(StepTask(key="later"))
    assert keys(one.decide()) == ["later"]


def test_a_training_does_not_start_where_its_memory_is_not_free() -> None:
    one = scheduler("a", "b")
    one.memory("m", 4 << 30, {})
    one.add(StepTask(key="first", memory=3 << 30))
    one.add(StepTask(key="second", memory=3 << 30))
    one.add(StepTask(key="small", memory=1 << 29))
    assert keys(one.decide()) == ["first", "small"]
    one.done("small")
    assert one.decide() == []
    # It has taken what it was promised, and more is free than was thought.
    one.memory("m", 4 << 30, {"a": 3 << 30, "b": 3 << 30})
    assert keys(one.decide()) == ["second"]


def test_what_its_worker_had_before_is_not_a_steps_own() -> None:
    one = scheduler("a", "b")
    one.memory("m", 2 << 30, {"a": 3 << 30, "b": 3 << 30})
    one.add(StepTask(key="first", memory=1 << 30))
    one.add(StepTask(key="second", memory=3 << 29))
    assert keys(one.decide()) == ["first"]
    # It took what it was promised, beside the 3 GB that its worker had.
    one.memory("m", 3 << 29, {"a": 3 << 30, "b": 4 << 30})
    assert keys(one.decide()) == ["second"]


def test_alone_it_starts_whatever_is_free() -> None:
    one = scheduler("a")
    one.memory("m", 1 << 30, {})
    one.add(StepTask(key="train", memory=3 << 30))
    assert keys(one.decide()) == ["train"]


def test_what_needs_much_memory_is_not_passed_over_for_ever() -> None:
    one = scheduler("a", "b")
    one.memory("m", 4 << 30, {})
    one.add(StepTask(key="long", memory=2 << 30))
    one.add(StepTask(key="large", memory=3 << 30))
    for number in range(100):
        one.add(StepTask(key=f"small {number}", memory=1))
    started = keys(one.decide())
    while started[-1].startswith("small"):
        one.done(started[-1])
        more = keys(one.decide())
        if not more:
            break
        started += more
    assert len(started) < 50
    one.done("long")
    assert keys(one.decide())[0] == "large"


def test_it_is_passed_over_only_where_another_starts() -> None:
    one = scheduler("a", "b")
    one.memory("m", 4 << 30, {})
    one.add(StepTask(key="long", memory=2 << 30))
    one.add(StepTask(key="large", memory=3 << 30))
    assert keys(one.decide()) == ["long"]
    assert not any(one.decide() for _ in range(100))
    one.add(StepTask(key="small", memory=1))
    assert keys(one.decide()) == ["small"]


def test_timings_run_alone_after_the_rest_and_all_at_once() -> None:
    one = scheduler("a", "b")
    one.add(StepTask(key="t1", alone=True))
    one.add(StepTask(key="t2", alone=True))
    one.add(StepTask(key="train"))
    assert keys(one.decide()) == ["train"]
    one.done("train")
    assert keys(one.decide()) == ["t1"]
    one.add(StepTask(key="train 2"))
    assert one.decide() == []
    one.done("t1")
    assert keys(one.decide()) == ["t2"]
    one.done("t2")
    assert keys(one.decide()) == ["train 2"]


def test_timings_do_not_wait_for_ever() -> None:
    one = scheduler("a", "b")
    for number in range(PATIENCE):
        one.add(StepTask(key=f"t{number}", alone=True))
    for number in range(100):
        one.add(StepTask(key=f"train {number}"))
    assert keys(one.decide()) == ["t0"]


def test_one_machine_times_while_another_computes() -> None:
    one = scheduler("c", machine="n")
    one.join("a", "m")
    one.join("b", "m")
    one.add(StepTask(key="t", alone=True, machine="m"))
    one.add(StepTask(key="train"))
    assert keys(one.decide()) == ["train", "t"]
    assert one.add(StepTask(key="train 2"))
    assert one.decide() == []
    one.done("t")
    assert keys(one.decide()) == ["train 2"]


def test_the_step_of_a_lost_worker_runs_again_and_then_fails_with_what_needs_it() -> None:
    one = scheduler("a0")
    one.add(StepTask(key="train"))
    one.add(StepTask(key="compile", needs=frozenset({"train"})))
    for number in range(RETRIES):
        assert keys(one.decide()) == ["train"]
        assert one.lose(f"a{number}") == []
        one.join(f"a{number + 1}", "m")
    assert keys(one.decide()) == ["train"]
    assert one.lose(f"a{RETRIES}") == ["train", "compile"]
    assert one.open == 0


def test_a_device_serves_one_step_at_a_time_and_its_work_goes_to_another() -> None:
    one = scheduler("a", "b", "c")
    one.device_joined("pi-1", "pi")
    one.device_joined("pi-2", "pi")
    for number in range(3):
        one.add(StepTask(key=f"bench {number}", device="pi"))
    first = {start.key: start.device for start in one.decide()}
    assert first == {"bench 0": "pi-1", "bench 1": "pi-2"}
    assert one.device_lost("pi-1") == []
    assert one.decide() == []
    one.done("bench 1")
    assert [(s.key, s.device) for s in one.decide()] == [("bench 0", "pi-2")]
    assert sorted(one.device_lost("pi-2")) == ["bench 0", "bench 2"]


def calls(work: Callable[[], object]) -> int:
    """Of functions."""
    count = 0

    def note(frame: object, event: str, function: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_decision_looks_at_no_more_where_more_waits() -> None:
    counts = []
    for waiting in (100, 10_000):
        one = scheduler(*(f"w{number}" for number in range(8)))
        one.memory("m", 10, {})
        one.device_joined("pi-1", "pi")
        for number in range(waiting):
            one.add(StepTask(key=f"a{number}", memory=number % 5))
            one.add(StepTask(key=f"b{number}", needs=frozenset({f"a{number}"}), device="pi"))
        started = keys(one.decide())

        def goes_on(one: Scheduler = one, ended: str = started[0]) -> None:
            one.done(ended)
            one.decide()

        counts.append(calls(goes_on))
    assert counts[0] == counts[1]


class World:
    """Drives a scheduler with events in any order, and holds what it starts to its promises."""

    def __init__(self, seed: int, count: int) -> None:
        self.chance = random.Random(seed)
        self.core = Scheduler()
        self.machines: dict[str, str] = {}
        self.tasks: dict[str, StepTask] = {}
        self.running: dict[str, Start] = {}
        self.ran: Counter[str] = Counter()
        self.done: set[str] = set()
        self.failed: set[str] = set()
        for number in range(4):
            self.join(f"m{number % 2}")
        for device in ("d0", "d1"):
            self.core.device_joined(device, "pi")
        for number in range(count):
            self.add(number)

    def join(self, machine: str) -> None:
        name = f"w{len(self.machines)}"
        self.machines[name] = machine
        self.core.join(name, machine)

    def add(self, number: int) -> None:
        before = sorted(self.tasks)
        needs = self.chance.sample(before, min(len(before), self.chance.randrange(3)))
        kind = self.chance.choice(["compute", "compute", "alone", "device"])
        task = StepTask(
            key=f"s{number:03}",
            needs=frozenset(needs),
            memory=self.chance.randrange(5),
            alone=kind == "alone",
            device="pi" if kind == "device" else "",
        )
        self.tasks[task.key] = task
        self.core.add(task)

    def turn(self) -> None:
        for machine in ("m0", "m1"):
            self.core.memory(machine, 6, {})
        for start in self.core.decide():
            self.start(start)
        if not self.running:
            return
        start = self.chance.choice(sorted(self.running.values(), key=lambda s: s.key))
        del self.running[start.key]
        event = self.chance.random()
        if event < 0.15:
            machine = self.machines.pop(start.worker)
            self.failed |= {*self.core.lose(start.worker)}
            self.machines[start.worker] = machine  # names are not used twice
            self.join(machine)
        elif event < 0.2:
            self.failed |= {*self.core.failed(start.key)}
        else:
            self.done.add(start.key)
            self.core.done(start.key)

    def start(self, start: Start) -> None:
        task = self.tasks[start.key]
        assert start.key not in self.running
        assert start.key not in self.done | self.failed
        assert task.needs <= self.done
        assert start.worker not in {other.worker for other in self.running.values()}
        beside = [
            self.tasks[key]
            for key, other in self.running.items()
            if self.machines[other.worker] == self.machines[start.worker]
        ]
        assert not any(other.alone for other in beside)
        assert not (task.alone and beside)
        assert not beside or task.memory + sum(other.memory for other in beside) <= 6
        assert bool(start.device) == bool(task.device)
        if start.device:
            assert start.device not in {other.device for other in self.running.values()}
        self.running[start.key] = start
        self.ran[start.key] += 1
        assert self.ran[start.key] <= RETRIES + 1


@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 60))
def test_in_any_order_of_events_every_step_ends_and_nothing_is_broken(
    seed: int, count: int
) -> None:
    world = World(seed, count)
    for _ in range(60 * count):
        world.turn()
        if not world.core.open:
            break
    assert world.core.open == 0
    assert world.done | world.failed == world.tasks.keys()


@pytest.mark.parametrize("count", [1, 4])
def test_what_failed_may_be_asked_for_again(count: int) -> None:
    one = scheduler("a")
    for _ in range(count):
        assert one.add(StepTask(key="train"))
        assert keys(one.decide()) == ["train"]
        assert one.failed("train") == ["train"]
