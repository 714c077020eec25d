"""Which step runs next, and where. Pure: it is told what happened and answers what to start, so
that a simulation drives the very code that runs builds.

- A step is known by its key. Whoever asks for it, it runs once.
- A step starts where its memory is free. Where nothing else runs it starts in any case: waiting
  would free nothing.
- A step that times runs beside nothing else on its machine. Steps that compute go first, as each
  change costs the time that the others take to end; then all timings that wait are taken at once.
- The step of a worker that was lost runs again, `retries` times at most.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from edgekit.scheduling.state import MachineState, Start, StepTask, TaskEntry, TaskState

RETRIES = 2
PATIENCE = 16
"""Timings that may wait for steps that compute; with as many, a machine takes them all."""
LOOK = 8
"""Steps that are looked at for one that fits the memory."""
PASSED = 32
"""Times that others may be taken before a step whose memory is not free; then it has its turn."""


_Queue = list[tuple[bool, int, str]]


class Scheduler:
    """Told of events by its methods; `decide` answers what to start now."""

    def __init__(self, retries: int = RETRIES) -> None:
        self._retries = retries
        self._entries: dict[str, TaskEntry] = {}
        self._followers: dict[str, list[str]] = {}
        self._machines: dict[str, MachineState] = {}
        self._where: dict[str, MachineState] = {}
        self._draining: set[str] = set()
        """Machines that start nothing which computes until no timing waits."""
        self._devices: dict[str, set[str]] = {}
        """Those that are there, by kind."""
        self._free: dict[str, list[str]] = {}
        self._compute: dict[tuple[str, str], _Queue] = {}
        """By the machine and the kind of device that they need."""
        self._timings: dict[str, _Queue] = {}
        self._order = itertools.count()

    @property
    def open(self) -> int:
        """Steps that have not ended."""
        return len(self._entries)

    def add(self, task: StepTask) -> bool:
        """Whether it is new; one that is on its way stays as it is, or becomes urgent."""
        known = self._entries.get(task.key)
        if known:
            if task.urgent and not known.task.urgent:
                known.task = replace(known.task, urgent=True)
                if known.state is TaskState.READY:
                    self._push(known)
            return False
        missing = {key for key in task.needs if key in self._entries}
        entry = TaskEntry(task, next(self._order), missing)
        self._entries[task.key] = entry
        for key in missing:
            self._followers.setdefault(key, []).append(task.key)
        if not missing:
            self._make_ready(entry)
        return True

    def join(self, worker: str, machine: str) -> None:
        found = self._machines.setdefault(machine, MachineState(machine))
        found.idle.append(worker)
        self._where[worker] = found

    def lose(self, worker: str) -> list[str]:
        """A worker is gone.

        Returns:
            its step where that was lost too often, and what needs it.
        """
        machine = self._where.pop(worker)
        machine.used.pop(worker, None)
        if worker in machine.idle:
            machine.idle.remove(worker)
            return []
        entry = machine.running.pop(worker)
        self._give_back(entry)
        return self._again(entry)

    def done(self, key: str) -> None:
        entry = self._end(key)
        for follower in self._followers.pop(key, []):
            waiting = self._entries.get(follower)
            if waiting and waiting.state is TaskState.WAITING:
                waiting.missing.discard(key)
                if not waiting.missing:
                    self._make_ready(waiting)
        self._vacate(entry)

    def failed(self, key: str) -> list[str]:
        """A step failed, as its worker said, or nobody wants it any more.

        Returns:
            its key, and those of all that needed it: they are forgotten, and may be added again.
        """
        ended = []
        waiting = [key]
        while waiting:
            key = waiting.pop()
            if key in self._entries:
                ended.append(key)
                self._vacate(self._end(key))
                waiting += self._followers.pop(key, [])
        return ended

    def device_joined(self, device: str, kind: str) -> None:
        self._devices.setdefault(kind, set()).add(device)
        self._free.setdefault(kind, []).append(device)

    def device_lost(self, device: str) -> list[str]:
        """A device is set aside, as the worker that was at it said: its work is given to another.

        Returns:
            steps that no device is left for.
        """
        kind = next(kind for kind, names in self._devices.items() if device in names)
        self._devices[kind].discard(device)
        if device in self._free[kind]:
            self._free[kind].remove(device)
        for entry in [e for e in self._running() if e.device == device]:
            self._vacate(entry)
            self._make_ready(entry)
        if self._devices[kind]:
            return []
        lost = [e.task.key for e in self._entries.values() if e.task.device == kind]
        return [key for one in lost for key in self.failed(one)]

    def memory(self, machine: str, available: int, used: Mapping[str, int]) -> dict[str, int]:
        """What a machine has free, and what each of its workers has taken, in bytes.

        Returns:
            what its steps have taken of that, by their keys.
        """
        found = self._machines.get(machine)
        if found is None:
            return {}
        found.available, found.used = available, dict(used)
        return found.taken

    def decide(self) -> list[Start]:
        """What to start now, in this order."""
        return [
            start
            for machine in self._machines.values()
            if machine.idle and not machine.is_alone
            for start in self._fill(machine)
        ]

    def _fill(self, machine: MachineState) -> Iterator[Start]:
        while machine.idle and (entry := self._next(machine)):
            worker = machine.idle.pop()
            entry.state, entry.worker, entry.passed = TaskState.RUNNING, worker, 0
            machine.running[worker] = entry
            entry.before = machine.used.setdefault(worker, 0)
            if kind := entry.task.device:
                entry.device = self._free[kind].pop(0)
            yield Start(entry.task.key, worker, entry.device)

    def _next(self, machine: MachineState) -> TaskEntry | None:
        if machine.is_alone:
            return None
        timings = self._queues_of(self._timings, machine.name)
        count = sum(map(len, timings))
        if count >= PATIENCE * (1 + len(self._draining)):
            self._draining.add(machine.name)
        if not (count and machine.name in self._draining) and (found := self._compute_for(machine)):
            self._draining.discard(machine.name)
            return found
        # Nothing computes that could be started, unless a step waits for memory.
        if not count:
            self._draining.discard(machine.name)
            return None
        self._draining.add(machine.name)
        return None if machine.running else _pop(self._entries, timings)

    def _compute_for(self, machine: MachineState) -> TaskEntry | None:
        kinds = ["", *(kind for kind, free in self._free.items() if free)]
        queues = [self._compute.get((name, kind)) for name in {"", machine.name} for kind in kinds]
        aside: list[TaskEntry] = []
        found = None
        for _ in range(LOOK):
            entry = _pop(self._entries, filter(None, queues))
            if entry is None:
                break
            if machine.fits(entry.task):
                found = entry
                break
            aside.append(entry)
            if entry.passed == PASSED:
                break
        for entry in aside:
            entry.passed += found is not None
            self._push(entry)
        return found

    @staticmethod
    def _queues_of(queues: Mapping[str, _Queue], machine: str) -> list[_Queue]:
        return [queues[name] for name in {"", machine} if queues.get(name)]

    def _make_ready(self, entry: TaskEntry) -> None:
        entry.state = TaskState.READY
        self._push(entry)

    def _push(self, entry: TaskEntry) -> None:
        task = entry.task
        if task.alone:
            queue = self._timings.setdefault(task.machine, [])
        else:
            queue = self._compute.setdefault((task.machine, task.device), [])
        heapq.heappush(queue, (not task.urgent, entry.order, task.key))

    def _again(self, entry: TaskEntry) -> list[str]:
        entry.lost += 1
        entry.worker = ""
        if entry.lost > self._retries:
            return self.failed(entry.task.key)
        self._make_ready(entry)
        return []

    def _end(self, key: str) -> TaskEntry:
        entry = self._entries.pop(key)
        entry.state = TaskState.ENDED if entry.state is not TaskState.RUNNING else entry.state
        return entry

    def _vacate(self, entry: TaskEntry) -> None:
        """Its worker and its device are free again."""
        if entry.state is TaskState.RUNNING and entry.worker in self._where:
            machine = self._where[entry.worker]
            if machine.running.get(entry.worker) is entry:
                del machine.running[entry.worker]
                machine.idle.append(entry.worker)
        self._give_back(entry)
        entry.state, entry.worker = TaskState.ENDED, ""

    def _give_back(self, entry: TaskEntry) -> None:
        kind = entry.task.device
        if entry.device in self._devices.get(kind, ()):
            self._free[kind].append(entry.device)
        entry.device = ""

    def _running(self) -> Iterator[TaskEntry]:
        for machine in self._machines.values():
            yield from list(machine.running.values())


def _pop(entries: Mapping[str, TaskEntry], queues: Iterable[_Queue]) -> TaskEntry | None:
    """The first of several queues that is still ready; others were started or dropped since."""
    queues = list(queues)
    while True:
        heads = [queue for queue in queues if queue]
        if not heads:
            return None
        best = min(heads, key=lambda queue: queue[0])
        _, _, key = heapq.heappop(best)
        entry = entries.get(key)
        if entry and entry.state is TaskState.READY:
            return entry
