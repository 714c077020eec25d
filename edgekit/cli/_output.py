"""All that is printed goes through here: nothing that a name holds may steer the terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

from edgekit.errors import StorageError
from edgekit.printable import printable

PIPE_CLOSED = "standard output cannot be written: its pipe is closed"


class OutputClosed(StorageError):
    """Whoever reads standard output has seen enough: no fault, and nothing is said of it."""


def prepare_streams() -> None:
    """Characters that the terminal's encoding lacks are shown as numbers, and end no command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str, *, err: bool = False, mark: str = "", **style: Any) -> None:
    """Print text.

    Args:
        mark: what stands before it, in a style of click's.

    Raises:
        StorageError: standard output is full or closed.
    """
    stream = sys.stderr if err else sys.stdout
    with output_errors(stream):
        click.echo((click.style(mark, **style) if mark else "") + printable(line), file=stream)


def say_json(value: Any) -> None:
    """Print JSON of ASCII alone: whole in every encoding, and nothing in it steers a terminal."""
    is_model = hasattr(value, "model_dump_json")
    plain = json.loads(value.model_dump_json()) if is_model else value
    say(json.dumps(plain, indent=1))


@contextlib.contextmanager
def output_errors(stream: TextIO) -> Iterator[None]:
    """
    Raises:
        StorageError: it is standard output, and full or closed. Of standard error nobody hears.
    """
    try:
        yield
    except OSError as error:
        _let_go(stream)
        if stream is not sys.stderr:
            raise output_failed(error) from error


def output_failed(error: OSError) -> StorageError:
    if isinstance(error, BrokenPipeError):
        return OutputClosed(PIPE_CLOSED)
    return StorageError(
        f"standard output cannot be written: {error.strerror}",
        hint="write it to another place; finished steps are kept",
    )


def _let_go(stream: TextIO) -> None:
    """What is still in its buffer goes nowhere: Python would try it again at its end, and fail."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
