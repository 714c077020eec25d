"""Hold artifacts, builds or runs on devices against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli._options import FILE, debug_option, json_option
from edgekit.cli._output import say, say_json
from edgekit.engine.atomic import write_atomically
from edgekit.errors import GateBroken, make_folder, storage_errors

if TYPE_CHECKING:
    from edgekit.comparison.record import CompareReport

FAILS = ("worse", "worse-accuracy", "worse-latency")


@click.command()
@click.argument("first", type=FILE, metavar="A")
@click.argument("others", type=FILE, nargs=-1, metavar="[B]...")
@click.option("--all", "everything", is_flag=True, help="All variants of a build, not its choice.")
@click.option("--no-timing", is_flag=True, help="Do not time anew on this machine.")
@click.option("--html", type=FILE, help="Write a page to this file.")
@click.option(
    "--fail-if",
    type=click.Choice(FAILS),
    help="Exit with 3 where B is significantly worse than A.",
)
@json_option
@debug_option
def compare(
    first: Path,
    others: tuple[Path, ...],
    everything: bool,
    no_timing: bool,
    html: Path | None,
    fail_if: str | None,
    as_json: bool,
) -> None:
    """Hold artifacts, builds or runs on devices against each other.

    \b
        edgekit compare build/photos/rpi build/other/rpi

    B, and any more, against A: accuracy on the same images, latency, what differs.
    Each is build/<recipe>/<target>, one of its variants, the model in one, or a device report.
    """
    from edgekit.api import compare as run
    from edgekit.cli._compare_tables import show_comparison
    from edgekit.cli.console import Console
    from edgekit.report.render import render_compare

    with Console(quiet=as_json) as console:
        found = run(
            first,
            *others,
            all_variants=everything,
            timing=not no_timing,
            observer=console,
        )
    if html:
        _write(render_compare(found), html)
    if as_json:
        say_json(found)
    else:
        show_comparison(found, console.out)
        if html:
            say(f"Page: {html}")
    if fail_if:
        _fail_if_worse(found, [fail_if.removeprefix("worse-")] if "-" in fail_if else None)


def _write(page: str, path: Path) -> None:
    make_folder(path.parent, "--html")
    with storage_errors(path, "--html"):
        write_atomically(path, page)


def _fail_if_worse(found: CompareReport, kinds: list[str] | None) -> None:
    """
    Args:
        kinds: accuracy or latency; None for both.

    Raises:
        GateBroken: a side is significantly worse than the one it is held against.
    """
    worse = []
    for pair in found.pairs:
        for kind, reason in pair.untold().items():
            if kinds is None or kind in kinds:
                say(f"--fail-if: no verdict on {kind} of {pair.names}: {reason}", err=True)
        worse += [
            f"{pair.names}: {kind} is worse: {words}"
            for kind, words in pair.worse().items()
            if kinds is None or kind in kinds
        ]
    if worse:
        raise GateBroken("; ".join(worse))
