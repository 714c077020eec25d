"""Whoever watches what takes long."""

from __future__ import annotations

from typing import Protocol

from edgekit.engine.artifact import Artifact
from edgekit.engine.step import Step


class Observer(Protocol):
    """Whoever watches. The command line shows it; a script or a notebook may collect it.

    The first five are of a build's steps, `working` is of what is no step, such as a run on a
    device: done of total, and what is being done. A `remark` is a line for whoever asked.
    """

    def waiting(self, step: Step) -> None: ...
    def started(self, step: Step) -> None: ...
    def progressed(self, step: Step, done: int, total: int, note: str) -> None: ...
    def finished(self, step: Step, artifact: Artifact, ran: bool) -> None: ...
    def failed(self, step: Step, reason: str) -> None: ...
    def working(self, done: int, total: int, note: str) -> None: ...
    def remark(self, line: str) -> None: ...


class Silent:
    """An observer for scripts and tests."""

    def waiting(self, step: Step) -> None:
        pass

    def started(self, step: Step) -> None:
        pass

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        pass

    def finished(self, step: Step, artifact: Artifact, ran: bool) -> None:
        pass

    def failed(self, step: Step, reason: str) -> None:
        pass

    def working(self, done: int, total: int, note: str) -> None:
        pass

    def remark(self, line: str) -> None:
        pass
