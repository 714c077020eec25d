"""A step on its way through a crew, and what those who wait for it hear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue

from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Observer
from edgekit.engine.step import Step
from edgekit.scheduling.messages import Event, Progressed, Remarked, Started, Waiting


class Closed(BaseException):
    """The crew has ended, and with it what waits for it; no error of a build's, to be reported."""


@dataclass
class Work:
    """A step on its way, and who waits for it."""

    step: Step
    given: Mapping[str, Artifact] | None
    """None where its inputs are still made: then they are those of `needs`."""
    needs: Mapping[str, str]
    """Keys of its inputs by role."""
    ears: list[SimpleQueue[Event | Closed]] = field(default_factory=list)
    """The first hears all, the others how it ends."""
    heard: dict[type, Event] = field(default_factory=dict)
    """The last of each kind, for who comes later."""


def report(event: Event, step: Step, observer: Observer) -> None:
    match event:
        case Waiting():
            observer.waiting(step)
        case Started():
            observer.started(step)
        case Progressed(done, total, note):
            observer.progressed(step, done, total, note)
        case Remarked(line):
            observer.remark(line)
