"""A function called in a confined process of its own, for its answer alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from edgekit.engine.action import Progress
from edgekit.engine.confined import Answer, ConfinedProcess
from edgekit.engine.confinement import Confinement
from edgekit.engine.temporary import temporary_folder


def call_confined(
    limits: Confinement,
    function: Callable[..., BaseModel],
    arguments: tuple[Any, ...],
    kind: type[Answer],
    progress: Progress = lambda *_: None,
) -> Answer:
    """Call `function(*arguments)` in a process that may write nowhere; what it leaves is dropped.

    Args:
        function, arguments, kind: as of `ConfinedProcess.run`.

    Raises:
        EdgekitError: what the function raises, or the limits were reached.
    """
    with temporary_folder() as folder, ConfinedProcess(folder) as process:
        left = folder / "left"
        left.mkdir()
        return process.run(limits, _call, (function, *arguments), kind, left, progress)


def _call(function: Callable[..., BaseModel], *arguments: Any, **_: Any) -> BaseModel:
    return function(*arguments)
