"""Options that several commands share."""

from __future__ import annotations

import os
import re
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
