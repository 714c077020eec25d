"""Build a recipe, say what a build would do, and measure many architectures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._options import FILE, debug_option, json_option, progress_option, store_option
from edgekit.cli._output import say, say_json
from edgekit.cli.completing import complete_devices, complete_recipes, complete_targets
from edgekit.errors import make_folder

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
            shell_complete=complete_targets,
        ),
        click.option(
            "--device",
            help="Measure every stage on this device of the inventory.",
            shell_complete=complete_devices,
        ),
        click.argument("recipe", type=FILE, shell_complete=complete_recipes),
    ):
        command = option(command)
    return command


@click.command()
@progress_option
@_planned
def build(as_json: bool, progress: str | None, **options: Any) -> None:
    """Run a recipe for its targets, measuring every stage.

    \b
        edgekit build photos.yaml --target rpi
        edgekit build photos.yaml --target rpi5 --device pi5
    """
    from edgekit.api.building import prepare, run
    from edgekit.cli._progress import watching
    from edgekit.cli.console import Console
    from edgekit.report.comparison import compare

    make_folder(options["build_dir"], "--build-dir")
    with Console(quiet=as_json) as console:
        observer = watching(progress, console)
        prepared = prepare(**options, observer=observer)
        console.data_problems(prepared.plan.review.problems)
        result = run(prepared, observer)
        root = prepared.build_dir / prepared.plan.recipe.name
        comparison = compare(root, list(result.reports))
        if len(result.reports) > 1:
            console.comparison(comparison.reports)
        console.left_out(result.left_out)
        if len(result.reports) == 1:
            console.report(result.report, result.folders[0])
        console.compared(comparison, root)
    if as_json:
        reports: Any = [json.loads(report.model_dump_json()) for report in result.reports]
        several = len(prepared.plan.targets) > 1
        say_json(reports if several else next(iter(reports), None))
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
    width = max(len(step.step) for step in found.steps)
    for step in found.steps:
        yield f"{step.step:{width}}  {step.key[:12]}  {step.state:8}  {step.reason}"
    yield from (f"{name} is left out: {why}" for name, why in found.left_out.items())
    yield from (f"{name}: {note}" for name, note in found.notes.items())
    yield from (f"data: {problem}" for problem in found.data)
    yield from (f"{setting}: {line}" for setting, line in found.weights.items())
    yield f"{found.running} of {len(found.steps)} steps would run"


@click.command()
@click.argument("spec", type=FILE)
@click.option(
    "--out",
    type=FILE,
    default=None,
    help="Where the report goes.  [default: build/matrix/<name>]",
)
@store_option
@progress_option
@json_option
@debug_option
def matrix(
    spec: Path, out: Path | None, store: Path | None, progress: str | None, as_json: bool
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
        report = run(spec, out=out, store=store, observer=watching(progress, console))
    if as_json:
        say_json(report)
    else:
        console.data_problems(report.problems)
        say(f"Report: {matrix_folder(report.name, out) / 'matrix.html'}")
