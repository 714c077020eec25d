"""The confined process: gives up what it may not do, then runs the tasks that come in.

    python -P -m edgekit.engine._confined_child ANSWERS PARENT FOLDER

Tasks come pickled, from a process that is trusted. Answers go back as lines of JSON on the file
descriptor ANSWERS: whoever reads them must not trust this process.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.engine import _kernel, confinement
from edgekit.engine.confined_errors import says_out_of_memory
from edgekit.engine.confinement import Confinement
from edgekit.errors import EdgekitError, storage_errors

OUT_OF_MEMORY = "out of memory"
"""In place of the kind of an error."""
MAX_TEXT = 4000
"""Characters of a message that are worth sending."""


@dataclass(frozen=True)
class Task:
    """What the process is to do: `function(*arguments, into=, progress=)`."""

    limits: Confinement
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    into: Path


def main() -> None:
    answers, parent, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    _kernel.die_with(parent)
    _kernel.limit_memory(confinement.confinement("").memory, for_good=True)  # of any task
    _kernel.confine([folder])
    while True:
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        _answer(answers, _result_of(task, answers))


def _result_of(task: Task, answers: int) -> dict[str, Any]:
    _kernel.limit_memory(task.limits.memory)
    confinement.enter(task.limits)

    def progress(done: int, total: int, note: str) -> None:
        _answer(answers, {"progress": [done, total, note]})

    try:
        with storage_errors(task.into):
            found = task.function(*task.arguments, into=task.into, progress=progress)
        return {"result": found.model_dump(mode="json")}
    except EdgekitError as error:
        return _told(error, type(error).__name__, error.message, error.hint)
    except Exception as error:  # a fault of edgekit's own, unless memory was all it wanted
        return _told(error, "EdgekitError", f"{type(error).__name__}: {error}", None)


def _told(error: Exception, kind: str, message: str, hint: str | None) -> dict[str, Any]:
    text = "".join(traceback.format_exception(error))
    return {
        "error": OUT_OF_MEMORY if says_out_of_memory(text) else kind,
        "message": message[:MAX_TEXT],
        "hint": hint and hint[:MAX_TEXT],
        "trace": text[-MAX_TEXT:],
    }


def _answer(answers: int, content: dict[str, Any]) -> None:
    line = json.dumps(content).encode() + b"\n"
    while line:
        line = line[os.write(answers, line) :]


if __name__ == "__main__":
    main()
