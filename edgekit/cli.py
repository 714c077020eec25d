"""The command line: the only place that prints and exits."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit import __version__
from edgekit.errors import EdgekitError, GateBroken, InputError

if TYPE_CHECKING:
    from edgekit.artifact import Store
    from edgekit.plan import Plan
    from edgekit.run import Build


def main() -> None:
    """Run the command and turn every failure into a message and an exit code."""
    debug = "--debug" in sys.argv
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("interrupted", "finished steps are kept; the same command goes on from there", 130)
    except KeyboardInterrupt:
        _fail("interrupted", "finished steps are kept; the same command goes on from there", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except EdgekitError as error:
        if debug:
            traceback.print_exc()
        _fail(error.message, error.hint, error.exit_code)
    except Exception as error:
        if debug:
            traceback.print_exc()
        what = f"a fault of edgekit's own: {type(error).__name__}: {error}"
        _fail(what, "run again with --debug and report what it prints", 1)


def _fail(message: str, hint: str | None, code: int) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(click.style("hint: ", fg="cyan") + hint, err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekit")
def cli() -> None:
    """From a chosen image classifier to a measured int8 model on an edge device."""


def _planned(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of every command that makes a plan; `--debug` is read by `main`."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else."),
        click.option("--force", multiple=True, help="Run this step even if it is cached."),
        click.option("--store", type=path, default=None, help="The cache folder."),
        click.option("--build-dir", type=path, default=Path("build"), show_default=True),
        click.option(
            "--target", "targets", multiple=True, required=True, help="A name, a file, or `all`."
        ),
        click.argument("recipe", type=path),
    ):
        command = option(command)
    return command


def _triple(_: Any, option: Any, text: str | None) -> tuple[float, float, float] | None:
    """One number for all channels, or three."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    except ValueError:
        raise InputError(f"--{option.name}: one number or three with commas, not {text}") from None
    return red, green, blue


@cli.command()
@_planned
def build(as_json: bool, **words: Any) -> None:
    """Run a recipe for one or more targets, measuring every stage."""
    from edgekit.console import Console
    from edgekit.publish import publish
    from edgekit.run import execute

    planned, cache = _plan(**words)
    with Console(quiet=as_json) as console:
        result = execute(planned, cache, console)
        published = publish(result, words["build_dir"])
        if len(published) > 1:
            console.comparison([report for report, _ in published], published[0][1].parent)
        console.left_out(planned.left_out)
        for report, folder in published if len(published) == 1 else ():
            console.report(report, folder)
    if as_json:
        reports: Any = [json.loads(report.model_dump_json()) for report, _ in published]
        several = len(planned.targets) > 1
        click.echo(json.dumps(reports if several else next(iter(reports), None), indent=1))
    _raise_faults(result, [folder for report, folder in published if report.broken])


def _raise_faults(result: Build, folders: list[Path]) -> None:
    """All that broke, target by target; what was no gate gives the exit code."""
    # Not from the reports: a target that fails before anything was measured has none.
    broken = [f"{t.plan.target.name}: {line}" for t in result.targets for line in t.faults]
    if not broken:
        return
    error = next((t.error for t in result.targets if t.error), None)
    failure = GateBroken(
        ("" if error else "a gate is broken: ") + "; ".join(broken),
        hint="the last stage that passed is kept; see last-passed/ and the report in "
        + ", ".join(map(str, folders))
        if folders
        else "nothing could be measured, so there is no report",
    )
    if error:
        failure.exit_code = error.exit_code
    raise failure


@cli.command()
@_planned
def plan(as_json: bool, **words: Any) -> None:
    """Show every step, its key, and why it would run or be skipped."""
    planned, _ = _plan(**words)
    rows = [
        {"step": s.id, "key": s.key, "state": str(s.state), "reason": s.reason}
        for s in planned.steps
    ]
    left_out = planned.left_out | {
        f"{t.target.name}/{name}": why
        for t in planned.targets
        for name, why in t.unreachable.items()
    }
    if as_json:
        click.echo(json.dumps({"steps": rows, "left_out": left_out}, indent=1))
        return
    width = max(len(row["step"]) for row in rows)
    for row in rows:
        click.echo(f"{row['step']:{width}}  {row['key'][:12]}  {row['state']:8}  {row['reason']}")
    for name, why in left_out.items():
        click.echo(f"{name} is left out: {why}")
    running = sum(row["state"] != "cached" for row in rows)
    click.echo(f"{running} of {len(rows)} steps would run")


@cli.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Where the report goes.  [default: build/matrix/<name>]",
)
@click.option("--store", type=click.Path(path_type=Path), default=None, help="The cache folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def matrix(spec: Path, out: Path | None, store: Path | None, as_json: bool) -> None:
    """Measure many architectures on every target; goes on where it was stopped."""
    from edgekit.artifact import Store, default_store
    from edgekit.console import Console
    from edgekit.matrix import load_matrix, publish_matrix, read_matrix_report, run_matrix

    wanted = load_matrix(spec)
    folder = out or Path("build/matrix") / wanted.name
    known = read_matrix_report(folder / "matrix.json")
    with Console(quiet=as_json) as console:
        report = run_matrix(
            wanted,
            spec.parent,
            Store(store or default_store()),
            console,
            known,
            lambda report: publish_matrix(report, folder),
        )
    if as_json:
        click.echo(report.model_dump_json(indent=1))
    else:
        click.echo(f"Report: {folder / 'matrix.html'}")


@cli.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--float",
    "float_file",
    type=click.Path(path_type=Path),
    help="The float file it was made from, where no build says so.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="A folder of images, instead of those it was calibrated on.",
)
@click.option("--samples", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--mean", callback=_triple, help="With --float, of a float input: 0.5 or 0.5,0.5,0.5")
@click.option("--std", callback=_triple, help="The same for the standard deviation.")
@click.option("--all", "everything", is_flag=True, help="Show every tensor, not those that matter.")
@click.option("--store", type=click.Path(path_type=Path), default=None, help="The cache folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def inspect(
    artifact: Path, store: Path | None, everything: bool, as_json: bool, **words: Any
) -> None:
    """Compare a compressed model with its float original, operator by operator.

    ARTIFACT is build/<recipe>/<target>/<variant>, the model in it, or with --float any model file.
    """
    from edgekit.artifact import Store, default_store
    from edgekit.console import Console
    from edgekit.diagnosis import diagnose
    from edgekit.inspection import inspect_files
    from edgekit.originals import Asked, locate

    pair = locate(artifact, Store(store or default_store()), Asked(**words))
    files = pair.float_path, pair.float_form, pair.path, pair.form
    found = inspect_files(pair.runtime, *files, pair.images, pair.rescaled)
    findings = diagnose(found)
    if not as_json:
        Console().inspection(pair, found, findings, everything)
        return
    value = {
        "file": str(pair.path),
        "float": str(pair.float_path),
        "rescaled": pair.rescaled,
        "sqnr_db": found.sqnr_db,
        "sound": found.is_sound,
        "wrong": [tensor.name for tensor in found.wrong],
        "findings": [finding.model_dump(mode="json") for finding in findings],
        "inspection": found.model_dump(mode="json"),
    }
    click.echo(json.dumps(value, indent=1))


@cli.command()
@click.argument("what", type=click.Choice(["recipe", "target", "report"]))
def schema(what: str) -> None:
    """Print a JSON Schema: of recipe or target files for editors, of report.json for scripts."""
    if what == "recipe":
        from edgekit.recipe import recipe_schema

        value = recipe_schema()
    elif what == "target":
        from edgekit.target import Target

        value = Target.model_json_schema()
        value["required"] = [name for name in value["required"] if name != "name"]
    else:
        from edgekit.report.report import Report

        value = Report.model_json_schema()
    click.echo(json.dumps(value, indent=1))


def _plan(
    recipe: Path,
    targets: tuple[str, ...],
    build_dir: Path,
    store: Path | None,
    force: tuple[str, ...],
) -> tuple[Plan, Store]:
    from edgekit.artifact import Store, default_store
    from edgekit.plan import RECORD, make_plan
    from edgekit.recipe import load_recipe
    from edgekit.target import known_targets, load_target

    names = list(known_targets()) if targets == ("all",) else list(targets)
    if len(set(names)) < len(names):
        raise InputError("--target: a target is named twice")
    parsed = load_recipe(recipe)
    loaded = [load_target(name) for name in names]
    cache = Store(store or default_store())
    last: dict[str, Any] = {}
    for target in loaded:
        record = build_dir / parsed.name / target.name / RECORD
        # It only explains what changed: without a readable one, the plan says "never built here".
        with contextlib.suppress(OSError, ValueError):
            last |= json.loads(record.read_text())
    return make_plan(parsed, recipe.parent, loaded, cache, last, force), cache
