"""The store of finished steps: how large it is, and how it becomes smaller."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli._options import debug_option, json_option, store_option
from edgekit.cli._output import say, say_json

if TYPE_CHECKING:
    from edgekit.engine.store_pruning import StoreUse


@click.group()
def store() -> None:
    """See what finished steps take on the disk, and make that less.

    \b
        edgekit store show
        edgekit store prune --unused 30 --dry-run
        edgekit store prune --unused 30
    """


@store.command()
@store_option
@json_option
@debug_option
def show(store: Path | None, as_json: bool) -> None:
    """Say where the store is, and how large.

    \b
        edgekit store show
    """
    from edgekit.api.arguments import store_of
    from edgekit.engine.store_pruning import use_of

    found = store_of(store)
    use = use_of(found)
    if as_json:
        say_json({"store": str(found.root), **asdict(use)})
    else:
        say(f"{found.root}: {_told(use)}")


@store.command()
@click.option(
    "--unused", "days", type=float, required=True, metavar="DAYS", help="For so long, 2 at least."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@store_option
@json_option
@debug_option
def prune(days: float, dry_run: bool, store: Path | None, as_json: bool) -> None:
    """Remove what no build has used for a while.

    \b
        edgekit store prune --unused 30 --dry-run
        edgekit store prune --unused 30

    Builds make again what they need of it. Reports and files under build/ stay.
    """
    from edgekit.api.arguments import store_of
    from edgekit.engine.store_pruning import prune as run

    found = store_of(store)
    use = run(found, days, dry_run)
    if as_json:
        say_json({"store": str(found.root), "dry_run": dry_run, **asdict(use)})
    else:
        say(f"{found.root}: {'would remove' if dry_run else 'removed'} {_told(use)}")


def _told(use: StoreUse) -> str:
    return f"{use.steps:,} steps, {use.objects:,} objects, {use.bytes / 1e9:.2f} GB"
