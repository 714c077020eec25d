"""Build a recipe, say what a build would do, and measure many architectures."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import on_stderr, store_of
from edgekit.cli._options import FILE, debug_option, json_option, store_option
from edgekit.cli._output import say, say_json
from edgekit.errors import EdgekitError, GateBroken, InputError, make_folder, need_folder

if TYPE_CHECKING:
    from edgekit.devices.bench.timing_device import TimingDevice
    from edgekit.engine.store import Store
    from edgekit.pipeline.plan import Plan
    from edgekit.pipeline.run import Build
    from edgekit.spec.target import Target


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
            "--target", "targets", multiple=True, required=True, help="A name, a file, or `all`."
        ),
        click.option(
            "--device", default=None, help="Measure every stage on this device of the inventory."
        ),
        click.argument("recipe", type=FILE),
    ):
        command = option(command)
    return command


@click.command()
@_planned
def build(as_json: bool, **options: Any) -> None:
    """Run a recipe for its targets, measuring every stage.

    \b
        edgekit build photos.yaml --target rpi
        edgekit build photos.yaml --target rpi5 --device pi5
    """
    from edgekit.cli.console import Console
    from edgekit.history.commit import commit_of
    from edgekit.history.recording import record_builds
    from edgekit.pipeline.run import execute
    from edgekit.report.comparison import compare
    from edgekit.report.core_estimates import estimates_of
    from edgekit.report.publish import publish

    make_folder(options["build_dir"], "--build-dir")
    planned, cache = _plan(**options)
    commit = commit_of(options["recipe"])  # before hours of training, while nobody edits it
    with Console(quiet=as_json) as console:
        console.data_problems(planned.review.problems)
        result = execute(planned, cache, console)
        on_line = console.out.print
        published = publish(
            result, options["build_dir"], lambda target: estimates_of(target, cache, on_line)
        )
        not_recorded = record_builds(cache.root, published, commit)
        root = options["build_dir"] / planned.recipe.name
        comparison = compare(root, [report for report, _ in published])
        if len(published) > 1:
            console.comparison(comparison.reports)
        console.left_out(planned.left_out)
        for report, folder in published if len(published) == 1 else ():
            console.report(report, folder)
        console.compared(comparison, root)
    if not_recorded:
        on_stderr(not_recorded)
    if as_json:
        reports: Any = [json.loads(report.model_dump_json()) for report, _ in published]
        several = len(planned.targets) > 1
        say_json(reports if several else next(iter(reports), None))
    _raise_faults(result, [folder for report, folder in published if report.broken])
    _raise_left_out(result, options["targets"])


def _raise_faults(result: Build, folders: list[Path]) -> None:
    """All that broke, target by target; what was no gate gives the exit code."""
    # Not from the reports: a target that fails before anything was measured has none.
    broken = [f"{t.plan.target.name}: {line}" for t in result.targets for line in t.faults]
    if not broken:
        return
    error = next((t.error for t in result.targets if t.error), None)
    failure = GateBroken(_headline(result, broken, error), hint=_hint(result, folders))
    if error:
        failure.exit_code = error.exit_code
    raise failure


def _raise_left_out(result: Build, named: tuple[str, ...]) -> None:
    """
    Raises:
        InputError: a target was asked for by its name, and nothing could be built for it.
    """
    plan = result.plan
    empty = {t.plan.target.name: t.left_out for t in result.targets if not t.shipped}
    lost = {name: "; ".join(f"{v}: {why}" for v, why in out.items()) for name, out in empty.items()}
    if named != ("all",):
        lost |= plan.left_out
    if lost:
        raise InputError(
            "nothing could be built for " + "; ".join(f"{n} ({why})" for n, why in lost.items()),
            hint="leave the target out, or give it a runtime that can run this model",
        )


def _headline(result: Build, broken: list[str], error: EdgekitError | None) -> str:
    refused = [t for t in result.targets if t.is_refused]
    if refused and len(refused) == len(broken):  # of all targets it is the same float model
        return str(refused[0].chance)
    return ("" if error else "a gate is broken: ") + "; ".join(broken)


def _hint(result: Build, folders: list[Path]) -> str:
    from edgekit.pipeline.brought_weights import tells_size

    refused = next((t.chance for t in result.targets if t.is_refused and t.chance), None)
    if refused:
        recipe = result.plan.recipe
        trains = any(stage.trains for stage in recipe.stages)
        other = result.plan.weights.get("model", "") if recipe.model.format == "torch" else ""
        advice = refused.advice(trains, other, tells_size(recipe.model))
        return f"{advice}; with `allow_untrained: true` the recipe builds it all the same"
    if not folders:
        return "nothing could be measured, so there is no report"
    where = ", ".join(map(str, folders))
    return f"the last stage that passed is kept; see last-passed/ and the report in {where}"


@click.command()
@_planned
def plan(as_json: bool, **options: Any) -> None:
    """Show every step, and why it would run or be skipped.

    \b
        edgekit plan photos.yaml --target rpi
    """
    planned, _ = _plan(**options)
    if as_json:
        say_json(_plan_record(planned))
        return
    for line in _plan_lines(planned):
        say(line)


def _plan_record(planned: Plan) -> dict[str, Any]:
    return {
        "steps": [
            {"step": s.id, "key": s.key, "state": str(s.state), "reason": s.reason}
            for s in planned.steps
        ],
        "left_out": planned.left_out
        | {
            f"{t.target.name}/{name}": why
            for t in planned.targets
            for name, why in t.unreachable.items()
        },
        "data": [problem.model_dump(mode="json") for problem in planned.review.problems],
        "weights": planned.weights,
        "notes": {
            f"{t.target.name}/{stage}": note
            for t in planned.targets
            for stage, note in t.notes.items()
        },
    }


def _plan_lines(planned: Plan) -> Iterator[str]:
    record = _plan_record(planned)
    rows = record["steps"]
    width = max(len(row["step"]) for row in rows)
    for row in rows:
        yield f"{row['step']:{width}}  {row['key'][:12]}  {row['state']:8}  {row['reason']}"
    yield from (f"{name} is left out: {why}" for name, why in record["left_out"].items())
    yield from (f"{name}: {note}" for name, note in record["notes"].items())
    yield from (f"data: {problem}" for problem in planned.review.problems)
    yield from (f"{setting}: {line}" for setting, line in record["weights"].items())
    running = sum(row["state"] != "cached" for row in rows)
    yield f"{running} of {len(rows)} steps would run"


@click.command()
@click.argument("spec", type=FILE)
@click.option(
    "--out",
    type=FILE,
    default=None,
    help="Where the report goes.  [default: build/matrix/<name>]",
)
@store_option
@json_option
@debug_option
def matrix(spec: Path, out: Path | None, store: Path | None, as_json: bool) -> None:
    """Measure many architectures on every target.

    \b
        edgekit matrix recipes/matrix/architectures.yaml

    It goes on where it was stopped.
    """
    from edgekit.architecture_matrix import (
        load_matrix,
        publish_matrix,
        read_matrix_report,
        run_matrix,
    )
    from edgekit.cli.console import Console

    matrix_spec = load_matrix(spec, on_stderr)
    folder = out or Path("build/matrix") / matrix_spec.name
    need_folder(folder, "--out")
    known = read_matrix_report(folder / "matrix.json")
    with Console(quiet=as_json) as console:
        report = run_matrix(
            matrix_spec,
            store_of(store),
            console,
            known,
            lambda report: publish_matrix(report, folder),
        )
    if as_json:
        say_json(report)
    else:
        console.data_problems(report.problems)
        say(f"Report: {folder / 'matrix.html'}")


def _plan(
    recipe: Path,
    targets: tuple[str, ...],
    build_dir: Path,
    store: Path | None,
    force: tuple[str, ...],
    device: str | None,
) -> tuple[Plan, Store]:
    from edgekit.build_folder.reading import PLAN
    from edgekit.engine.records import parse_json
    from edgekit.pipeline.plan import make_plan
    from edgekit.spec.recipe import load_recipe
    from edgekit.spec.target import known_targets, load_target

    need_folder(build_dir, "--build-dir")
    names = list(known_targets()) if targets == ("all",) else list(targets)
    _refuse_lists(names)
    parsed = load_recipe(recipe, on_stderr)
    loaded = [load_target(name, on_stderr) for name in names]
    cache = store_of(store)
    last: dict[str, Any] = {}
    for target in loaded:
        record = build_dir / parsed.name / target.name / PLAN
        # It only explains what changed: without a readable one, the plan says "never built here".
        with contextlib.suppress(OSError, ValueError):
            found = parse_json(record.read_bytes())
            last |= found if isinstance(found, dict) else {}
    timing_device = _timing_device(device, loaded) if device else None
    return make_plan(parsed, loaded, cache, last, force, timing_device), cache


def _refuse_lists(names: list[str]) -> None:
    """
    Raises:
        InputError: one --target names several, `all` stands beside others, or one stands twice.
    """
    if len(set(names)) < len(names):
        raise InputError("--target: a target is named twice")
    if "all" in names:
        raise InputError("--target all stands for every target", hint="leave the others out")
    for name in names:
        several = [one for one in re.split(r"[,\s]+", name) if one]
        if len(several) > 1 and not Path(name).exists():
            raise InputError(
                f"--target: one target expected, not {name!r}",
                hint="repeat it: " + " ".join(f"--target {shlex.quote(one)}" for one in several),
            )


def _timing_device(device: str, targets: list[Target]) -> TimingDevice:
    from edgekit.devices.bench.timing_device import TimingDevice, fingerprint_of
    from edgekit.devices.inventory import find_device

    transport = find_device(device)
    if len(targets) > 1:
        raise InputError(
            f"--device {device} stands for one target, and {len(targets)} are named",
            hint="build the others apart, each with its own device",
        )
    return TimingDevice(device, transport, targets[0], fingerprint_of(device, transport))
