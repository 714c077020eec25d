"""Whoever watches a build."""

from __future__ import annotations

from typing import Protocol

from edgekit.engine.artifact import Artifact
from edgekit.engine.step import Step


class Observer(Protocol):
    """Whoever watches a build. The CLI shows it; a script may collect it."""

    def waiting(self, step: Step) -> None: ...
    def started(self, step: Step) -> None: ...
    def progressed(self, step: Step, done: int, total: int, note: str) -> None: ...
    def finished(self, step: Step, artifact: Artifact, ran: bool) -> None: ...
    def failed(self, step: Step, reason: str) -> None: ...


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
