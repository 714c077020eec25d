"""Plan and build a recipe, and measure many architectures."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.api.arguments import PathLike, names_of, store_of
from edgekit.api.boards import Names, board_for
from edgekit.api.workers import Workers, crew_of
from edgekit.engine.observer import Observer, Silent
from edgekit.errors import InputError, make_folder, need_folder
from edgekit.packages import told

if TYPE_CHECKING:
    from edgekit.api.results import BuildResult, PlanReport
    from edgekit.build_folder.report import Report
    from edgekit.engine.crew import Crew
    from edgekit.engine.store import Store
    from edgekit.pipeline.plan import Plan
    from edgekit.pipeline.run import Build
    from edgekit.report.matrix import MatrixReport


@dataclass(frozen=True)
class Prepared:
    """A plan, and where it is to be run."""

    plan: Plan
    store: Store
    recipe: Path
    build_dir: Path
    named: tuple[str, ...]
    """Targets, as they were asked for."""


def plan(
    recipe: PathLike,
    target: PathLike | Sequence[PathLike],
    *,
    device: Names = None,
    group: Names = None,
    force: Sequence[str] = (),
    build_dir: PathLike = "build",
    store: PathLike | None = None,
    observer: Observer | None = None,
) -> PlanReport:
    """Every step that a build would take, and why it would run or be skipped.

    Args: as `build`.

    Raises:
        InputError: recipe, target, data or weights that cannot work.
        MissingPackage: edgekit is installed without the extra `build`.
    """
    from edgekit.api.results import PlanReport

    with told():
        watching = observer or Silent()
        prepared = prepare(recipe, target, device, group, force, build_dir, store, watching)
        return PlanReport.of(prepared.plan)


def build(
    recipe: PathLike,
    target: PathLike | Sequence[PathLike],
    *,
    device: Names = None,
    group: Names = None,
    force: Sequence[str] = (),
    build_dir: PathLike = "build",
    store: PathLike | None = None,
    workers: Workers = 1,
    observer: Observer | None = None,
) -> BuildResult:
    """Run a recipe for its targets, measuring every stage.

    Args:
        target: a name or a file, several of them, or "all".
        device, group: measure every stage on this device of the inventory; several of one kind
            share the measuring, as many at once as there are workers.
        force: steps to run from their start, even if they are cached.
        build_dir: the build goes to `build_dir/<recipe>/<target>/`.
        store: the cache; that of the environment unless named.
        workers: processes that run steps which do not need each other; the results are the same.

    Returns:
        what came of it, also where a gate is broken: see `BuildResult.passed` and `check`.

    Raises:
        InputError: recipe, target, data or weights that cannot work, before anything runs.
        MissingPackage: a package that the build needs is not installed.
        EdgekitError: a step that all targets share failed.
    """
    from edgekit.setup.needs import need_runtimes

    with told():
        _share_processor()
        watching = observer or Silent()
        make_folder(Path(build_dir), "--build-dir")
        prepared = prepare(recipe, target, device, group, force, build_dir, store, watching)
        if any(step.state.runs for step in prepared.plan.steps):
            targets = [planned.target for planned in prepared.plan.targets]
            need_runtimes(prepared.plan.recipe, targets)
        for problem in prepared.plan.review.problems:
            watching.remark(f"data: {problem}")
        with crew_of(prepared.store, workers) as crew:
            return run(prepared, watching, crew)


def matrix(
    spec: PathLike,
    *,
    out: PathLike | None = None,
    store: PathLike | None = None,
    workers: Workers = 1,
    observer: Observer | None = None,
) -> MatrixReport:
    """Measure many architectures on every target; it goes on where it was stopped.

    Args:
        out: where the report goes; build/matrix/<name> unless named.
        workers: processes that run steps of several architectures at a time.

    Raises:
        InputError: the file is no matrix, or what it names cannot work.
    """
    from edgekit.model_search.matrix import load_matrix
    from edgekit.model_search.matrix_run import publish_matrix, read_matrix_report, run_matrix

    watching = observer or Silent()
    with told():
        _share_processor()
        parsed = load_matrix(Path(spec), watching.remark)
        folder = matrix_folder(parsed.name, out)
        need_folder(folder, "--out")
        known = read_matrix_report(folder / "matrix.json")
        cache = store_of(store)
        with crew_of(cache, workers) as crew:
            return run_matrix(
                parsed, cache, watching, known, lambda found: publish_matrix(found, folder), crew
            )


def _share_processor() -> None:
    """Before torch is loaded: its threads then sleep while they wait for each other. By default
    they spin, and where other jobs take a core a training goes twenty times slower."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def matrix_folder(name: str, out: PathLike | None) -> Path:
    return Path(out) if out else Path("build/matrix") / name


def prepare(
    recipe: PathLike,
    target: PathLike | Sequence[PathLike],
    device: Names,
    group: Names,
    force: Sequence[str],
    build_dir: PathLike,
    store: PathLike | None,
    observer: Observer,
) -> Prepared:
    """Load what is named, and plan it; for the arguments see `build`."""
    from edgekit.devices.own_profile import slow_in_int8
    from edgekit.pipeline.plan import make_plan
    from edgekit.spec.recipe import load_recipe
    from edgekit.spec.target import known_targets, load_target

    folder = Path(build_dir)
    need_folder(folder, "--build-dir")
    named = names_of(target)
    names = list(known_targets()) if named == ["all"] else named
    _refuse_lists(names)
    parsed = load_recipe(Path(recipe), observer.remark)
    loaded = [load_target(name, observer.remark) for name in names]
    profile: list[str] = []
    board = board_for(device, group, loaded, observer, profile.append)
    loaded = [board.target] if board else loaded
    processors = {one.name: [*profile, *filter(None, [slow_in_int8(one)])] for one in loaded}
    for line in chain.from_iterable(processors.values()):
        observer.remark(line)
    cache = store_of(store)
    last = _last_record([folder / parsed.name / one.name for one in loaded])
    made = make_plan(parsed, loaded, cache, last, tuple(force), board)
    made = replace(made, processors=processors)
    return Prepared(made, cache, Path(recipe), folder, tuple(named))


def run(prepared: Prepared, observer: Observer, crew: Crew | None = None) -> BuildResult:
    """Run what was prepared, write its reports, and record them."""
    from edgekit.api.build_faults import faults, lost
    from edgekit.api.results import BuildResult, Failure
    from edgekit.history.commit import commit_of
    from edgekit.history.recording import record_builds
    from edgekit.pipeline.run import begin, execute
    from edgekit.report.publish import publish

    commit = commit_of(prepared.recipe)  # before hours of training, while nobody edits it
    if crew:
        begin(prepared.plan, crew)
    result = execute(prepared.plan, prepared.store, observer, crew)
    published = publish(result, prepared.build_dir)
    if line := record_builds(prepared.store.root, published, commit):
        observer.remark(line)
    published = _with_more(result, published, prepared.store, observer)
    broken = [folder for report, folder in published if report.broken]
    error = faults(result, broken) or lost(result, prepared.named)
    return BuildResult(
        targets=tuple(target.plan.target.name for target in result.targets),
        reports=tuple(report for report, _ in published),
        folders=tuple(folder for _, folder in published),
        left_out=prepared.plan.left_out,
        failure=Failure.of(error) if error else None,
    )


def _with_more(
    result: Build, published: list[tuple[Report, Path]], store: Store, observer: Observer
) -> list[tuple[Report, Path]]:
    """Last, as it may take long: what was measured is written by now, and stays if this stops."""
    from edgekit.pipeline.shipped_estimates import estimates_of
    from edgekit.pipeline.shipped_operators import operators_of
    from edgekit.pipeline.shipped_spread import device_spread
    from edgekit.report.publish import add_to_report

    targets = {target.plan.target.name: target for target in result.targets}
    found = []
    for report, folder in published:
        target = targets[report.target]
        if operators := operators_of(target, folder, store, observer.remark):
            report = add_to_report(report, folder, operators)
        if spread := device_spread(target, result, store, observer):
            report = add_to_report(report, folder, spread)
        if estimates := estimates_of(target, store, observer.remark):
            report = add_to_report(report, folder, estimates)
        found.append((report, folder))
    return found


def _last_record(folders: list[Path]) -> dict[str, Any]:
    """What the build before wrote of its steps."""
    from edgekit.build_folder.reading import PLAN
    from edgekit.engine.records import parse_json

    last: dict[str, Any] = {}
    for folder in folders:
        # It only explains what changed: without a readable one, the plan says "never built here".
        with contextlib.suppress(OSError, ValueError):
            found = parse_json((folder / PLAN).read_bytes())
            last |= found if isinstance(found, dict) else {}
    return last


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
