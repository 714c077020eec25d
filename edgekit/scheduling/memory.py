"""What steps took of memory, beside what their workers had, so that as much is free before one
starts."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from edgekit.engine.atomic import write_atomically
from edgekit.engine.step import Step

FILE = "memory.json"
LEAST = 16 << 20
"""Bytes by which a step has to exceed what is known, for the file to be written again."""


class MemoryBook:
    """The most that steps of a name took, in bytes. A guess, never a limit."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE
        self._most = _read(self._path)
        self._known = dict(self._most)

    def need(self, step: Step) -> int:
        """What to expect of a step: what its like took, or what its action says."""
        return self._most.get(step.id.name) or step.action.memory

    def saw(self, step: Step, size: int) -> None:
        name = step.id.name
        self._most[name] = max(size, self._most.get(name, 0))

    def write(self) -> None:
        """Where the store cannot be written, the next build guesses again."""
        grown = {n for n, size in self._most.items() if size > self._known.get(n, 0) + LEAST}
        if grown:
            with suppress(OSError):
                write_atomically(self._path, json.dumps(self._most, indent=1, sort_keys=True))


def _read(path: Path) -> dict[str, int]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return {str(n): size for n, size in found.items() if isinstance(size, int)}
    return {}
