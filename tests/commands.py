"""edgekit's commands, run in this process: each process of its own would load torch again."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from edgekit.cli import main


def edgekit(*words: object, cwd: Path, store: Path) -> subprocess.CompletedProcess[str]:
    """A command, from its words to its exit code and all that was written, by libraries too."""
    arguments = ["edgekit", *map(str, words)]
    with (
        pytest.MonkeyPatch.context() as patch,
        written("stdout", patch) as out,
        written("stderr", patch) as err,
        quiet_again(logging.getLogger("edgekit")),
    ):
        patch.chdir(cwd)
        patch.setenv("EDGEKIT_STORE", str(store))
        patch.setattr(sys, "argv", arguments)
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = [text_of(stream) for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, code, *said)


@contextlib.contextmanager
def written(name: str, patch: pytest.MonkeyPatch) -> Iterator[IO[str]]:
    """What goes to a stream of Python's, or past it to the file that it stands for."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stream:
        number = {"stdout": 1, "stderr": 2}[name]
        before = os.dup(number)
        os.dup2(stream.fileno(), number)
        patch.setattr(sys, name, stream)
        try:
            yield stream
        finally:
            os.dup2(before, number)
            os.close(before)


def text_of(stream: IO[str]) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def quiet_again(logger: logging.Logger) -> Iterator[None]:
    """--debug lets it speak, for the life of the process."""
    before = logger.level, logger.handlers[:]
    try:
        yield
    finally:
        logger.level, logger.handlers[:] = before
