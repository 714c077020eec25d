"""What the scheduler knows of steps and of machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto


@dataclass(frozen=True, kw_only=True)
class StepTask:
    key: str
    needs: frozenset[str] = frozenset()
    """Keys of what has to be done before; those that the scheduler does not know are done."""
    memory: int = 0
    """Bytes that it takes at most, beside what its worker has already."""
    alone: bool = False
    """It times: nothing else may run on its machine."""
    machine: str = ""
    """The only one that may run it; any where empty."""
    device: str = ""
    """The kind of device that it needs for itself."""
    urgent: bool = True
    """Somebody waits for it; others go after these."""


@dataclass(frozen=True)
class Start:
    key: str
    worker: str
    device: str = ""


class TaskState(Enum):
    WAITING = auto()
    READY = auto()
    RUNNING = auto()
    ENDED = auto()


@dataclass
class TaskEntry:
    task: StepTask
    order: int
    missing: set[str]
    state: TaskState = TaskState.WAITING
    lost: int = 0
    passed: int = 0
    worker: str = ""
    device: str = ""
    before: int = 0
    """Bytes that its worker had when it began."""


@dataclass
class MachineState:
    name: str
    idle: list[str] = field(default_factory=list)
    running: dict[str, TaskEntry] = field(default_factory=dict)
    """By worker."""
    available: int | None = None
    """Bytes that nobody has taken; None where nobody says."""
    used: dict[str, int] = field(default_factory=dict)
    """Bytes that each worker has taken."""

    @property
    def is_alone(self) -> bool:
        """It times: nothing was started beside that."""
        return len(self.running) == 1 and next(iter(self.running.values())).task.alone

    @property
    def taken(self) -> dict[str, int]:
        """Bytes that its steps have taken, by their keys, beside what their workers had."""
        return {
            entry.task.key: max(0, self.used.get(worker, 0) - entry.before)
            for worker, entry in self.running.items()
        }

    def fits(self, task: StepTask) -> bool:
        if self.available is None or not self.running:
            return True
        taken = self.taken
        promised = sum(
            max(0, entry.task.memory - taken[entry.task.key]) for entry in self.running.values()
        )
        return task.memory <= self.available - promised
