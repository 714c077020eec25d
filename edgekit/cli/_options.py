"""Options that several commands share."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgekit.errors import InputError


class UserPath(click.Path):
    """A path as people type it: ~ is a home after `=` and `,` too, where no shell sees it."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from edgekit.engine.user_paths import at_home

        text = os.fspath(value)
        if not text:
            self.fail("a path expected, and nothing is given", param, ctx)
        path = Path(text)
        if not text.startswith("~") or path.exists():
            return path
        try:
            return at_home(path)
        except ValueError as error:
            self.fail(str(error), param, ctx)


FILE = UserPath(path_type=Path)
# `main` reads it, before there is a command.
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
progress_option = click.option(
    "--progress",
    type=click.Choice(["jsonl"]),
    help="Tell progress on stderr as one JSON object a line.",
)


class WorkerCount(click.ParamType[Any]):
    """A number of workers, or `auto`."""

    name = "workers"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "auto" or isinstance(value, int):
            return value
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"a number from 1 or `auto` expected, not {value!r}", param, ctx)
        return int(value)


def workers_option(command: Callable[..., None]) -> Callable[..., None]:
    """Who runs the steps: the command is given `workers`."""

    @functools.wraps(command)
    def with_workers(
        *words: Any, workers: Any, engine: str, address: str | None, **options: Any
    ) -> None:
        from edgekit.api.workers import workers_of

        command(*words, workers=workers_of(workers, engine, address), **options)

    found: Callable[..., None] = with_workers
    for option in (
        click.option("--address", metavar="HOST:PORT", help="Of a Ray cluster's head."),
        click.option(
            "--engine",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where workers run.",
        ),
        click.option(
            "--workers",
            type=WorkerCount(),
            metavar="N|auto",
            help="Processes that run steps; `auto` goes by cores and memory.  [default: 1; of a "
            "cluster one a core]",
        ),
    ):
        found = option(found)
    return found


store_option = click.option("--store", type=FILE, default=None, help="The cache folder.")


def triple(_: Any, option: Any, text: str | None) -> tuple[float, float, float] | None:
    """One number for all channels, or three.

    Raises:
        InputError: it is neither.
    """
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    except ValueError:
        raise InputError(f"--{option.name}: one number or three with commas, not {text}") from None
    return red, green, blue


def duration(option: str, text: str) -> float:
    """90, 90s, 15m or 1h in seconds.

    Raises:
        InputError: it is none.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh]?)", text)
    if not found:
        raise InputError(f"--{option}: a time such as 90s, 15m or 1h expected, not {text}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
