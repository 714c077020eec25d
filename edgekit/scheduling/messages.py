"""What a worker is given, and what it says of it: plain values that can be pickled."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.engine.artifact import Artifact
from edgekit.engine.step import Step
from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class StepJob:
    """A step, and its inputs by role."""

    step: Step
    given: Mapping[str, Artifact]


@dataclass(frozen=True)
class WorkerReady:
    """A worker can be given a step."""


@dataclass(frozen=True)
class Waiting:
    """Another build is at the step."""


@dataclass(frozen=True)
class Started:
    pass


@dataclass(frozen=True)
class Progressed:
    done: int
    total: int
    note: str


@dataclass(frozen=True)
class Remarked:
    line: str


@dataclass(frozen=True)
class Done:
    ran: bool
    """False where its result was in the store."""


@dataclass(frozen=True)
class Failed:
    """What a step raised, as far as it can be sent."""

    kind: type[EdgekitError] | Exception | str
    """Of edgekit's own errors the class, one of Python's as it is, of a library's the name alone:
    its class may be known in the worker only."""
    message: str
    state: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> Failed:
        trace = "".join(traceback.format_exception(error))
        if type(error).__module__ == "builtins" and _can_be_sent(error):
            return cls(error, "", {}, trace)
        if not isinstance(error, EdgekitError):
            return cls(type(error).__name__, str(error), {}, trace)
        state = {name: value for name, value in vars(error).items() if _can_be_sent(value)}
        return cls(type(error), error.message, state, trace)

    def error(self) -> Exception:
        """As it was raised; its cause is the text of its traceback."""
        found: Exception
        if isinstance(self.kind, Exception):
            found = self.kind
        elif isinstance(self.kind, str):
            found = type(self.kind, (RuntimeError,), {})(self.message)
        else:
            found = self.kind.__new__(self.kind)  # some make their message themselves
            EdgekitError.__init__(found, self.message)
            vars(found).update(self.state)
        found.__cause__ = EdgekitError(self.trace)
        return found


Event = Waiting | Started | Progressed | Remarked | Done | Failed


def _can_be_sent(value: Any) -> bool:
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True
