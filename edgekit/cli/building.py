"""Build a recipe, say what a build would do, and measure many architectures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import standing_for
from edgekit.cli._options import (
    FILE,
    debug_option,
    json_option,
    progress_option,
    store_option,
    workers_option,
)
from edgekit.cli._output import say, say_json
from edgekit.cli.completing import complete_recipes, complete_targets_or_all

if TYPE_CHECKING:
    from edgekit.api.results import PlanReport


def _planned(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of every command that makes a plan."""
    for option in (
        debug_option,
        json_option,
        click.option(
            "--force",
            multiple=True,
            help="Run this step from its start, even if it is cached; may be given more than once.",
        ),
        store_option,
        click.option("--build-dir", type=FILE, default=Path("build"), show_default=True),
        click.option(
            "--target",
            "target",
            multiple=True,
            required=True,
            help="A name, a file, or `all`.",
            shell_complete=complete_targets_or_all,
        ),
        standing_for,
        click.argument("recipe", type=FILE, shell_complete=complete_recipes),
    ):
        command = option(command)
    return command


@click.command()
@progress_option
@workers_option
@_planned
def build(as_json: bool, progress: str | None, **options: Any) -> None:
    """Run a recipe for its targets, measuring every stage.

    \b
        edgekit build photos.yaml --target rpi
        edgekit build photos.yaml --target rpi5 --device pi5
        edgekit build photos.yaml --target rpi5 --group pi5s --workers 4
    """
    from edgekit.api import build as run
    from edgekit.cli._progress import watching
    from edgekit.cli.console import Console

    with Console(quiet=as_json) as console:
        result = run(options.pop("recipe"), **options, observer=watching(progress, console))
        console.built(result)
    if as_json:
        reports: Any = [json.loads(report.model_dump_json()) for report in result.reports]
        say_json(reports if len(result.targets) > 1 else next(iter(reports), None))
    result.check()


@click.command()
@_planned
def plan(as_json: bool, **options: Any) -> None:
    """Show every step, and why it would run or be skipped.

    \b
        edgekit plan photos.yaml --target rpi
    """
    from edgekit.api import plan as run
    from edgekit.cli._progress import OnStderr

    found = run(options.pop("recipe"), **options, observer=OnStderr())
    if as_json:
        say_json(found)
        return
    for line in _plan_lines(found):
        say(line)


def _plan_lines(found: PlanReport) -> Iterator[str]:
    yield from _step_lines(found)
    yield from (f"{name} is left out: {why}" for name, why in found.left_out.items())
    yield from (f"{name}: {note}" for name, note in found.notes.items())
    yield from (f"data: {problem}" for problem in found.data)
    yield from (f"{setting}: {line}" for setting, line in found.weights.items())
    before = _before(sum(step.seconds_before or 0 for step in found.running))
    which = f", which {before}" if before else ""
    yield f"{len(found.running)} of {len(found.steps)} steps would run{which}"


def _step_lines(found: PlanReport) -> Iterator[str]:
    from edgekit.engine.step import NEVER_BUILT

    width = max((len(step.step) for step in found.running), default=0)
    for step in found.running:
        why = "" if step.reason == NEVER_BUILT else step.reason
        told = "; ".join(filter(None, (why, _before(step.seconds_before or 0))))
        yield f"{step.step:{width}}  {step.state:8}  {told}".rstrip()


def _before(seconds: float) -> str:
    from edgekit.engine.progress import duration

    return f"took {duration(seconds)} before" if seconds >= 1 else ""


@click.command()
@click.argument("spec", type=FILE)
@click.option(
    "--out",
    type=FILE,
    default=None,
    help="Where the report goes.  [default: build/matrix/<name>]",
)
@store_option
@workers_option
@progress_option
@json_option
@debug_option
def matrix(
    spec: Path, out: Path | None, progress: str | None, as_json: bool, **options: Any
) -> None:
    """Measure many architectures on every target.

    \b
        edgekit matrix recipes/matrix/architectures.yaml

    It goes on where it was stopped.
    """
    from edgekit.api import matrix as run
    from edgekit.api.building import matrix_folder
    from edgekit.cli._progress import watching
    from edgekit.cli.console import Console

    with Console(quiet=as_json) as console:
        report = run(spec, out=out, **options, observer=watching(progress, console))
    if as_json:
        say_json(report)
    else:
        console.data_problems(report.problems)
        say(f"Report: {matrix_folder(report.name, out) / 'matrix.html'}")
