"""How the scheduler and the store grow, up to thousands of builds.

    python -m tests.benchmarks.scale record            # real builds into step_times.json
    python -m tests.benchmarks.scale schedule          # the scheduler, in virtual time
    python -m tests.benchmarks.scale store --most 100000

`schedule` drives the scheduler that runs builds with the steps of the recorded ones: events come
from a heap of virtual times, with workers that are lost and devices that vanish or throttle. What
is timed is the scheduler alone, in seconds of the processor. Each build is a recorded plan; four of
them share their trunk, as in a sweep, and each ends with a measurement on a device.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import itertools
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edgekit.engine.artifact import RECORD, FileEntry, Metadata, digest_of, record_of
from edgekit.engine.store import DAY, Store
from edgekit.engine.store_pruning import prune
from edgekit.scheduling.core import Scheduler
from edgekit.scheduling.state import Start, StepTask
from tests.benchmarks.recorded_steps import FILE, RecordedBuild, read_builds, record_builds

SIZES = (10, 100, 1000, 10_000)
SHARING = 4
"""Builds of a sweep that have their trunk in common."""
A_MACHINE = 4
"""Workers."""
DEVICE = "device"
DEVICE_SECONDS = 60.0
"""Of a measurement: no recorded build had a board."""
WORKER_LIFE, WORKER_BACK = 8 * 3600.0, 120.0
"""Mean seconds until a worker is lost, and until another takes its place."""
DEVICE_LIFE, DEVICE_BACK = 24 * 3600.0, 3600.0
THROTTLED = 0.02
"""Share of measurements that a device throttles in: it is set aside to cool, and the work goes to
another."""
COOLING = 600.0
SAMPLE = 50
"""Objects by which an operation is timed."""


@dataclass
class World:
    """What the scheduler is told, in virtual time."""

    seed: int
    core: Scheduler = field(default_factory=Scheduler)
    now: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each step, by its key."""
    sizes: dict[str, int] = field(default_factory=dict)
    running: dict[str, Start] = field(default_factory=dict)
    """By worker."""
    answers: list[float] = field(default_factory=list)
    """Processor seconds of each event, with the decision after it."""
    started: int = 0
    faults: int = 0
    failed: int = 0
    busy: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ended: set[str] = set()

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def run(self) -> None:
        self._told(lambda: None)
        while self.core.open and self._events:
            self.now, _, event = heapq.heappop(self._events)
            self._told(event)

    def _told(self, event: Callable[[], None]) -> None:
        begin = time.process_time()
        event()
        starts = self.core.decide()
        self.answers.append(time.process_time() - begin)
        for start in starts:
            self._start(start)

    def _start(self, start: Start) -> None:
        self.started += 1
        self.running[start.worker] = start
        took = self.seconds[start.key]
        self.busy += took
        throttles = bool(start.device) and self.chance.random() < THROTTLED
        self.at(took, lambda: self._end(start, throttles))

    def _end(self, start: Start, throttles: bool) -> None:
        if self.running.get(start.worker) is not start:
            return  # its worker or its device was lost meanwhile
        del self.running[start.worker]
        if throttles and len(self.devices) > 1:
            self._lose_device(start.device, COOLING)
        else:
            self.core.done(start.key)

    devices: dict[str, bool] = field(default_factory=dict)

    def join(self, number: int) -> None:
        name, machine = f"w{number}.{next(self._order)}", f"m{number // A_MACHINE}"
        self.core.join(name, machine)
        self.at(self.chance.expovariate(1 / WORKER_LIFE), lambda: self._lose(name, number))

    def _lose(self, worker: str, number: int) -> None:
        self.faults += 1
        self.running.pop(worker, None)
        self.failed += len(self.core.lose(worker))
        self.at(WORKER_BACK, lambda: self.join(number))

    def device_joins(self, device: str) -> None:
        self.devices[device] = True
        self.core.device_joined(device, DEVICE)
        self.at(
            self.chance.expovariate(1 / DEVICE_LIFE), lambda: self._lose_device(device, DEVICE_BACK)
        )

    def _lose_device(self, device: str, back: float) -> None:
        if self.devices.pop(device, None) is None:
            return
        self.faults += 1
        for worker, start in [*self.running.items()]:
            if start.device == device:
                del self.running[worker]
        self.failed += len(self.core.device_lost(device))
        self.at(back, lambda: self.device_joins(device))

    def add(self, builds: Sequence[RecordedBuild], count: int) -> None:
        for number in range(count):
            own = builds[number % len(builds)]
            keys: list[str] = []
            for place, step in enumerate(own.steps):
                group = number // (SHARING * len(builds)) if step.is_trunk else number
                key = digest_of([number % len(builds), group, place])[:16]
                keys.append(key)
                self.seconds[key], self.sizes[key] = step.seconds, step.bytes
                self.core.add(
                    StepTask(
                        key=key,
                        needs=frozenset(keys[i] for i in step.needs),
                        alone=step.times,
                    )
                )
            last = f"{keys[-1]}-{number}-on-device"
            self.seconds[last] = DEVICE_SECONDS
            self.core.add(StepTask(key=last, needs=frozenset(keys[-1:]), device=DEVICE))


def schedule(sizes: Sequence[int], workers: int, devices: int, seed: int) -> None:
    builds = read_builds()
    print(
        "| builds | steps | virtual hours | bound, hours | workers busy | faults | failed steps "
        "| store, GB | us an event, mean | 99th percentile | most | peak memory, MB |\n|"
        + 12
        * "--:|"
    )
    for count in sizes:
        world = World(seed)
        begin = time.process_time()
        world.add(builds, count)
        planned = time.process_time() - begin
        for number in range(workers):
            world.join(number)
        for number in range(devices):
            world.device_joins(f"d{number}")
        steps, work = len(world.seconds), sum(world.seconds.values())
        alone = sum(s.seconds * count / len(builds) for b in builds for s in b.steps if s.times)
        machines = -(-workers // A_MACHINE)
        bound = max((work - alone) / workers + alone / machines, DEVICE_SECONDS * count / devices)
        world.run()
        answers = sorted(world.answers)
        print(
            f"| {count:,} | {steps:,} | {world.now / 3600:.2f} | {bound / 3600:.2f} "
            f"| {100 * world.busy / world.now / workers:.0f} % | {world.faults} | {world.failed} "
            f"| {sum(world.sizes.values()) / 1e9:.1f} | {1e6 * sum(answers) / len(answers):.0f} "
            f"| {1e6 * answers[int(0.99 * len(answers))]:.0f} | {1e6 * answers[-1]:.0f} "
            f"| {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} |",
            flush=True,
        )
        per_step = (planned + sum(answers)) / world.started
        print(f"<!-- {count} builds: {1e3 * per_step:.3f} ms a step, adding it included -->")


def store(most: int) -> None:
    """The store on disk, with objects of one small file each."""
    sizes = [size for size in (100, 1000, 10_000, 100_000) if size <= most]
    print("| objects | ms a commit | ms a find | s to list all | s to prune half |\n|" + "--:|" * 5)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        kept, made = Store(Path(folder) / "store"), 0
        for name in ("objects", "locks", "steps"):
            (kept.root / name).mkdir(parents=True)
        for size in sizes:
            _fill(kept, range(made, size - SAMPLE))
            commit = _seconds(partial(_commit_all, kept, range(size - SAMPLE, size))) / SAMPLE
            made = size
            some = random.Random(0).sample(range(made), SAMPLE)
            find = _seconds(partial(_find_all, kept, [_key(number) for number in some])) / SAMPLE
            listed = _seconds(lambda: _find_all(kept, [path.stem for path in _entries(kept)]))
            row = f"| {size:,} | {1e3 * commit:.2f} | {1e3 * find:.3f} | {listed:.2f} |"
            if size == sizes[-1]:
                _age(kept)
                print(f"{row} {_seconds(lambda: prune(kept, 30)):.2f} |", flush=True)
            else:
                print(f"{row} |", flush=True)


def _find_all(kept: Store, keys: Iterable[str]) -> None:
    for key in keys:
        kept.find(key)


def _key(number: int) -> str:
    return digest_of(["step", number])


def _fill(kept: Store, numbers: Iterable[int]) -> None:
    """As commits would leave it, but for the waits: 100,000 of them would take hours."""
    for number in numbers:
        words = str(number).encode()
        entry = FileEntry(sha256=hashlib.sha256(words).hexdigest(), bytes=len(words))
        record = record_of({"words": entry}, Metadata().record(), ())
        digest = digest_of(record)
        folder = kept.root / "objects" / digest
        folder.mkdir(parents=True)
        (folder / "words").write_bytes(words)
        (folder / RECORD).write_text(json.dumps(record, indent=1))
        (kept.root / "locks" / f"{digest}.lock").touch()
        step = {"digest": digest, "seconds": 1.0}
        (kept.root / "steps" / f"{_key(number)}.json").write_text(json.dumps(step))


def _commit_all(kept: Store, numbers: Iterable[int]) -> None:
    for number in numbers:
        _commit(kept, number)


def _commit(kept: Store, number: int) -> None:
    with kept.workspace() as folder:
        (folder / "words").write_text(str(number))
        kept.commit(_key(number), folder, Metadata(), (), 1.0)


def _entries(kept: Store) -> list[Path]:
    return sorted((kept.root / "steps").glob("*.json"))


def _age(kept: Store) -> None:
    """Every other step was used long ago, and all objects are old."""
    then = time.time() - 40 * DAY
    for path in (*_entries(kept)[::2], *(kept.root / "objects").iterdir()):
        os.utime(path, (then, then))


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("record")
    scheduling = commands.add_parser("schedule")
    scheduling.add_argument("--builds", type=int, nargs="*", default=SIZES)
    scheduling.add_argument("--workers", type=int, default=100)
    scheduling.add_argument("--devices", type=int, default=50)
    scheduling.add_argument("--seed", type=int, default=0)
    keeping = commands.add_parser("store")
    keeping.add_argument("--most", type=int, default=100_000)
    options = parser.parse_args()
    if options.command == "store":
        store(options.most)
    elif options.command == "record":
        record_builds(FILE)
    else:
        schedule(options.builds, options.workers, options.devices, options.seed)


if __name__ == "__main__":
    main()
