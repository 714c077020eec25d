"""Look at what is there: models, builds, runs on devices, and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.api.arguments import (
    PathLike,
    Triple,
    need_whole,
    path_of,
    remark_unprevented,
    store_of,
)
from edgekit.devices.limits import MOST_THREADS
from edgekit.engine.observer import Observer, Silent
from edgekit.errors import InputError
from edgekit.packages import told

if TYPE_CHECKING:
    from edgekit.api.results import InspectReport
    from edgekit.build_folder.report import Report
    from edgekit.comparison.record import CompareReport
    from edgekit.devices.estimate.estimate import Estimate
    from edgekit.inspection.checkpoint import CheckpointSummary
    from edgekit.inspection.summary import ModelSummary
    from edgekit.setup.doctor import Diagnosis
    from edgekit.setup.target_needs import TargetNeeds


def read_report(folder: PathLike) -> Report:
    """The report of a build that is there.

    Args:
        folder: build/<recipe>/<target>, or the report.json in it.

    Raises:
        InputError: there is none, or it is damaged or of another version.
    """
    from edgekit.build_folder.reading import BUILD_AGAIN, REPORT
    from edgekit.build_folder.reading import read_report as read

    path = Path(folder)
    found = read(path.parent if path.name == REPORT else path)
    if found is None:
        raise InputError(f"{path}: there is no {REPORT}", hint=BUILD_AGAIN)
    return found


def inspect(
    artifact: PathLike,
    *,
    float_file: PathLike | None = None,
    images: PathLike | None = None,
    samples: int = 32,
    mean: Triple | None = None,
    std: Triple | None = None,
    store: PathLike | None = None,
    observer: Observer | None = None,
) -> InspectReport | ModelSummary | CheckpointSummary:
    """Compare a compressed model with its float original, tensor by tensor.

    Args:
        artifact: build/<recipe>/<target>/<variant>, the model in it, or with `float_file` any
            model file; without it what a file of no build holds is told, a `ModelSummary` or, of
            a checkpoint of torch, a `CheckpointSummary`.
        float_file: the float file it was made from, where no build says so.
        images: a folder of images, instead of those it was calibrated on.
        samples: images of it.
        mean, std: of a float input, with `float_file`.

    Raises:
        InputError: something is missing, with what fixes it.
        MissingPackage: what reads such a file is not installed: the extra `run`.
    """
    from edgekit.api.results import InspectReport
    from edgekit.build_folder.float_twin import InspectOptions, is_alone, locate, runtime_of
    from edgekit.build_folder.inspected import inspect_pair
    from edgekit.inspection.checkpoint import is_checkpoint, summarise_checkpoint
    from edgekit.inspection.summary import summarise

    need_whole("samples", samples)
    watching = observer or Silent()
    with told():
        remark_unprevented(watching)
        options = InspectOptions(path_of(float_file), path_of(images), samples, mean, std)
        if is_alone(Path(artifact), options):
            return summarise(Path(artifact), runtime_of(Path(artifact)))
        if is_checkpoint(Path(artifact)) and options.compares_nothing:
            return summarise_checkpoint(Path(artifact))
        pair = locate(Path(artifact), store_of(store), options)
        found = inspect_pair(pair)
        return InspectReport.of(pair, found.inspection, found.operators)


def compare(
    first: PathLike,
    *others: PathLike,
    all_variants: bool = False,
    timing: bool = True,
    observer: Observer | None = None,
) -> CompareReport:
    """Hold artifacts, builds or runs on devices against each other.

    Args:
        first: what the others are held against: build/<recipe>/<target>, one of its variants, the
            model in one, or a device report.
        all_variants: of a build, not its choice.
        timing: time anew, interleaved, what lies here.

    Raises:
        InputError: there are no two to compare, or their classes are not the same.
    """
    from edgekit.comparison.compare import compare as run
    from edgekit.comparison.locate import locate

    if not others and not all_variants:
        raise InputError(
            f"{first} alone is named, and two things are compared",
            hint="name another one, or compare the variants of one build with --all",
        )
    watching = observer or Silent()
    with told():
        groups = locate(tuple(Path(path) for path in (first, *others)), all_variants)
        if timing:
            remark_unprevented(watching)
        return run(groups, timing, watching.working)


def estimate(
    artifact: PathLike,
    *,
    device: str | None = None,
    target: PathLike | None = None,
    against: PathLike | None = None,
    threads: int | None = None,
    observer: Observer | None = None,
) -> Estimate:
    """What a model would take on a device, or takes at least.

    Args:
        artifact: build/<recipe>/<target>, one of its variants' folders, or a model file.
        device: one that was calibrated.
        target: instead: its instructions are counted under qemu-user, for one thread.
        against: with `target`, another model, for a ratio.

    Raises:
        InputError: both are named or none is, or `artifact` is no model.
        MissingPackage: what reads such a file is not installed: the extra `run`.
    """
    from edgekit.devices.estimate.estimate import estimate_for, estimate_on
    from edgekit.devices.inventory import find_device
    from edgekit.engine.store import Store, default_store
    from edgekit.spec.target import load_target

    need_whole("threads", threads, MOST_THREADS)
    watching, other = observer or Silent(), path_of(against)
    with told():
        remark_unprevented(watching)
        if device and not target and not other:
            way, store = find_device(device), Store(default_store())
            return estimate_on(Path(artifact), device, way, threads, store, watching.remark)
        if target and not device:
            chosen, store = load_target(str(target)), Store(default_store())
            return estimate_for(Path(artifact), chosen, threads, other, store, watching.remark)
    if device and other:
        raise InputError(
            "--against goes with --target",
            hint="two files on a device: edgekit bench --device NAME each, then edgekit compare",
        )
    raise InputError(
        "one of --device and --target expected",
        hint="--device NAME for one that was calibrated, --target rpi5 for what its core takes",
    )


def doctor(
    recipe: PathLike | None = None,
    *,
    store: PathLike | None = None,
    observer: Observer | None = None,
) -> Diagnosis:
    """What this machine can build and what it lacks; with a recipe, whether that can be built here.

    Raises:
        InputError: the recipe is none, or edgekit itself is not installed.
    """
    from edgekit.setup.doctor import diagnose
    from edgekit.spec.recipe import load_recipe

    with told():
        root = store_of(store).root
        parsed = load_recipe(Path(recipe), (observer or Silent()).remark) if recipe else None
        return diagnose(parsed, root)


def targets() -> list[TargetNeeds]:
    """What can be built for, and what each target still needs here."""
    from edgekit.setup.target_needs import known_target_needs

    return known_target_needs()
