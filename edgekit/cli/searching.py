"""Build many recipes that differ in a few fields, and find the one to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import standing_for
from edgekit.cli._options import (
    FILE,
    debug_option,
    duration,
    json_option,
    progress_option,
    store_option,
    workers_option,
)
from edgekit.cli._output import say, say_json
from edgekit.cli.completing import (
    complete_recipes,
    complete_search,
    complete_targets,
)
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.model_search.report import SearchReport
    from edgekit.model_search.sweep import SweepReport

recipe_argument = click.argument("recipe", type=FILE, shell_complete=complete_recipes)
over_option = click.option(
    "--over",
    multiple=True,
    metavar="FIELD=VALUES",
    help="A field by its dotted path and its values; may be given more than once.",
)


@click.command()
@recipe_argument
@click.option("--target", required=True, help="A name or a file.", shell_complete=complete_targets)
@over_option
@standing_for
@click.option(
    "--out",
    type=FILE,
    default=None,
    help="Where the report goes.  [default: build/sweep/<recipe>-<target>]",
)
@store_option
@workers_option
@progress_option
@json_option
@debug_option
def sweep(
    recipe: Path, target: str, over: tuple[str, ...], progress: str | None, as_json: bool,
    out: Path | None, **options: Any,
) -> None:  # fmt: skip
    """Build a recipe over a grid of its fields.

    \b
        edgekit sweep photos.yaml --target rpi --over data.image_size=96,128,160
        edgekit sweep photos.yaml --target rpi --over model.arch=resnet18,mobilenetv2_100

    What points have in common is built once, and it goes on where it was stopped.
    """
    from edgekit.api.searching import report_folder
    from edgekit.api.searching import sweep as run
    from edgekit.cli._progress import watching
    from edgekit.cli._search_tables import sweep_table
    from edgekit.cli.console import Console

    with Console(quiet=as_json) as console:
        observer = watching(progress, console)
        report = run(recipe, target, over, out=out, **options, observer=observer)
        console.bars.stop()
        if not as_json:
            console.out.print(sweep_table(report))
    if as_json:
        say_json(report)
    else:
        _say_what_latency_is(report)
        for point in report.points:
            if why := point.reason or point.no_latency:
                say(f"{point.title}: {why}")
        say(f"Report: {report_folder('sweep', report.recipe, report.target, out) / 'sweep.html'}")
    report.check()


def _say_what_latency_is(report: SweepReport | SearchReport) -> None:
    why = f" No milliseconds: {report.why_no_ms}." if report.why_no_ms else ""
    say(f"Latency: {report.latency_is}.{why}")
    if report.spread:
        say(f"The devices: {report.spread.sentence}.")


USES = "RECIPE --target NAME, show [NAME], or recipe NAME POINT"


@click.command()
@click.argument("words", metavar="RECIPE", nargs=-1, shell_complete=complete_search)
@click.option("--target", help="A name or a file.", shell_complete=complete_targets)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help="latency<=8ms, latency<=0.6x ARCH, size<=4MB, drop<=1 or agreement>=97.",
)
@over_option
@standing_for
@click.option("--budget", metavar="TIME", help="Begin no training after 90s, 60m or 2h.")
@click.option(
    "--out",
    type=FILE,
    default=None,
    help="Where the report goes.  [default: build/search/<recipe>-<target>]",
)
@store_option
@workers_option
@progress_option
@json_option
@debug_option
def search(words: tuple[str, ...], store: Path | None, as_json: bool, **options: Any) -> None:
    """Find the recipe to take for a target.

    \b
        edgekit search photos.yaml --target rpi5 --limit 'latency<=8ms' --limit 'size<=4MB'
        edgekit search show photos-rpi5
        edgekit search recipe photos-rpi5 p1a2b3c4d5e6 > chosen.yaml

    Which fields may vary, the recipe's section `search` or --over says; without them the
    architectures do that are known to do well on the target. It goes on where it was stopped.
    """
    first = words[0] if words else ""
    if first in ("show", "recipe") and not Path(first).is_file():
        _refuse_idle(first, options)
        (_show if first == "show" else _print_recipe)(words[1:], store, as_json)
    elif len(words) == 1 and options["target"]:
        _search(Path(first), store, as_json, **options)
    elif words:
        raise InputError(f"edgekit search takes {USES}", hint=_missing(words, options))
    else:
        raise InputError("edgekit search: no recipe is named", hint="edgekit search -h")


def _missing(words: tuple[str, ...], options: dict[str, Any]) -> str:
    if options["target"]:
        return "one recipe at a time"
    return "name a target with --target; edgekit targets lists them"


def _refuse_idle(what: str, options: dict[str, Any]) -> None:
    idle = [name for name, value in options.items() if value and (name, value) != ("workers", 1)]
    if idle:
        option = "limit" if idle[0] == "limits" else idle[0]
        raise InputError(f"edgekit search {what} takes no --{option}")


def _search(
    recipe: Path, store: Path | None, as_json: bool, progress: str | None, budget: str | None,
    out: Path | None, **options: Any,
) -> None:  # fmt: skip
    from edgekit.api.searching import report_folder
    from edgekit.api.searching import search as run
    from edgekit.cli._progress import watching
    from edgekit.cli.console import Console

    seconds = None if budget is None else duration("budget", budget)
    with Console(quiet=as_json) as console:
        observer = watching(progress, console)
        report = run(recipe, store=store, out=out, budget=seconds, **options, observer=observer)
        console.bars.stop()
    _tell(report, as_json, store)
    if not as_json:
        say(f"Report: {report_folder('search', report.recipe, report.target, out) / 'search.html'}")
    report.check(store)


def _show(words: tuple[str, ...], store: Path | None, as_json: bool) -> None:
    from edgekit.api.arguments import store_of
    from edgekit.api.searching import read_search
    from edgekit.model_search.kept import names

    if len(words) > 1:
        raise InputError("edgekit search show takes one name")
    if words:
        _tell(read_search(words[0], store=store), as_json, store)
        return
    own = store_of(store)
    if as_json:
        say_json(names(own))
        return
    for name in names(own) or [f"no search in {own.root} yet"]:
        say(name)


def _print_recipe(words: tuple[str, ...], store: Path | None, as_json: bool) -> None:
    from edgekit.api.searching import search_recipe

    if len(words) != 2:
        raise InputError(
            "edgekit search recipe takes a search and a point",
            hint="edgekit search show lists searches, and with a name its points",
        )
    text = search_recipe(*words, store=store)
    if as_json:
        import yaml

        say_json(yaml.safe_load(text))
    else:
        say(text.rstrip())


def _tell(report: SearchReport, as_json: bool, store: Path | None) -> None:
    from edgekit.cli._search_tables import search_tables
    from edgekit.cli._terminal import Terminal
    from edgekit.model_search.remarks import not_tried, outcome
    from edgekit.model_search.report import store_words

    if as_json:
        say_json(report)
        return
    terminal = Terminal(stderr=False)
    if not terminal.is_terminal:
        terminal.width = 160
    for table in search_tables(report):
        terminal.print(table)
    for point in report.candidates:
        if point.dropped:
            say(outcome(point, report.unit))
    for line in (*report.trades, *report.alike, *report.effects):
        say(f"- {line}")
    _say_what_latency_is(report)
    for line in not_tried(report):
        say(line)
    say(report.sentence)
    if report.recommended and not report.failure:
        words = f"edgekit search recipe {report.name} {report.recommended}{store_words(store)}"
        say(f"{words} > {report.recommended}.yaml")
