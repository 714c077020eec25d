"""Who watches a command, where it is no table and no bar."""

from __future__ import annotations

import json
from typing import Any

from edgekit.cli._output import say
from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Observer, Silent
from edgekit.engine.progress import Pace, ProgressEvent, ProgressKind
from edgekit.engine.step import Step


class OnStderr(Silent):
    """Prints remarks alone."""

    def remark(self, line: str) -> None:
        say(line, err=True)


class JsonLines:
    """Prints each event as a line of JSON, of ASCII alone."""

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}

    def waiting(self, step: Step) -> None:
        self._tell(ProgressKind.WAITING, step=step.id)

    def started(self, step: Step) -> None:
        self._paces[step.key] = Pace()
        self._tell(ProgressKind.STARTED, step=step.id, note=step.reason)

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        left = self._paces.setdefault(step.key, Pace()).seconds_left(done, total)
        rounded = None if left is None else round(left, 1)
        fields = {"done": done, "total": total, "note": note, "seconds_left": rounded}
        self._tell(ProgressKind.PROGRESS, step=step.id, **fields)

    def finished(self, step: Step, artifact: Artifact, ran: bool) -> None:
        self._tell(ProgressKind.FINISHED, step=step.id, ran=ran, seconds=artifact.seconds)

    def failed(self, step: Step, reason: str) -> None:
        self._tell(ProgressKind.FAILED, step=step.id, note=reason)

    def working(self, done: int, total: int, note: str) -> None:
        self._tell(ProgressKind.PROGRESS, done=done, total=total, note=note)

    def remark(self, line: str) -> None:
        self._tell(ProgressKind.REMARK, note=line)

    def _tell(self, kind: ProgressKind, **fields: Any) -> None:
        event = ProgressEvent(event=kind, **fields)
        say(json.dumps(event.model_dump(mode="json", exclude_none=True)), err=True)


def watching(progress: str | None, otherwise: Observer) -> Observer:
    """What `--progress` asks for."""
    return JsonLines() if progress == "jsonl" else otherwise
