"""What became of builds and runs on devices, over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli._options import debug_option, json_option, store_option
from edgekit.cli._output import say, say_json
from edgekit.errors import InputError
from edgekit.printable import first_few

if TYPE_CHECKING:
    from edgekit.history.database import History
    from edgekit.history.entry import Entry

MAX_NAMED = 10
"""Recipes in a message."""


@click.command()
@click.argument("recipe", required=False)
@click.option("--target", help="Of this target alone.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest of each."
)
@click.option("--to-mlflow", "mlflow", metavar="URI", help="Send what is new to MLflow.")
@store_option
@json_option
@debug_option
def history(
    recipe: str | None,
    target: str | None,
    limit: int,
    mlflow: str | None,
    store: Path | None,
    as_json: bool,
) -> None:
    """Show accuracy, latency and size over builds and commits.

    \b
        edgekit history photos --target rpi
        edgekit history --to-mlflow sqlite:///mlflow.db

    RECIPE is a recipe's name or its file. Each row is a build or a run on a device, newest last.
    """
    from edgekit.cli._history_table import show_trends
    from edgekit.cli.console import Console
    from edgekit.engine.store import default_store
    from edgekit.history.database import History
    from edgekit.history.trend import HistoryReport, trends_of

    found = History(store or default_store())
    name = _name_of(recipe) if recipe else None
    if mlflow:
        _send(found.entries(name, target), mlflow, as_json)
        return
    trends = trends_of(found, name, target, limit)
    if not trends and (name or target):
        raise _nothing_of(found, name, target)
    if as_json:
        say_json(HistoryReport(path=str(found.path), trends=tuple(trends)))
    elif trends:
        show_trends(trends, Console().out)
    else:
        say(f"{found.path}: nothing is recorded yet; a build is, when it is through")


def _name_of(recipe: str) -> str:
    """The name that the history has of what was typed: a name, or a recipe's file."""
    from edgekit.spec.yamlfile import named_document

    path = Path(recipe)
    if not path.is_file():
        return recipe
    document = named_document(path)
    name = document.data.get("name") if isinstance(document.data, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{path} is no recipe: it has no name")
    return name


def _nothing_of(found: History, recipe: str | None, target: str | None) -> InputError:
    what = " for ".join(filter(None, (recipe, target)))
    known = dict.fromkeys(
        f"{entry.recipe} for {entry.target}" for entry in found.entries() if entry.recipe
    )
    return InputError(
        f"nothing of {what} is in {found.path}",
        hint=f"it has {', '.join(first_few(known, MAX_NAMED))}"
        if known
        else "a build is recorded when it is through",
    )


def _send(entries: list[Entry], uri: str, as_json: bool) -> None:
    from edgekit.history.to_mlflow import send

    sent, known = send(entries, uri)
    if as_json:
        say_json({"sent": sent, "known": known})
        return
    there = f"; {known} were there already" if known else ""
    say(f"{sent} rows of the history went to {uri}{there}")
