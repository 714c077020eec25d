"""What is installed, what each target still needs, and whether a recipe can be built here."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel

from edgekit import __version__
from edgekit.cycle_model.tools import find_tools
from edgekit.data.images import TRAIN_MARGIN
from edgekit.errors import DeviceError, EdgekitError, InputError
from edgekit.pipeline.brought_weights import check_weights
from edgekit.runtimes import find_runtimes
from edgekit.setup.host import HostFacts, host_facts, host_remarks
from edgekit.setup.needs import OF_FORMATS, Need, needs
from edgekit.setup.target_needs import TargetNeeds, target_needs
from edgekit.spec.compatibility import why_incompatible
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target, known_targets, load_target

OTHERS = ("keras", "prune", "heif")
"""Extras that are no runtime's."""


class InstalledLibrary(BaseModel):
    name: str
    wanted: str
    installed: str | None
    fits: bool


class Diagnosis(BaseModel):
    edgekit: str
    python: str
    executable: str
    libraries: dict[str, list[InstalledLibrary]]
    """By the extra that brings them; those that are always needed under an empty name."""
    targets: list[TargetNeeds]
    """With a recipe, those that its model can be built for."""
    host: HostFacts
    remarks: list[str]
    faults: list[str]
    """Why the recipe cannot be built here."""
    remedy: str | None
    """The command, or what else, that mends most."""
    no_core_estimate: str | None
    """What `edgekit estimate --target rpi5` lacks; None where nothing."""
    decoded_bytes: int | None
    """Of all of the recipe's images, once they are decoded."""


def diagnose(recipe: Recipe | None, store: Path) -> Diagnosis:
    """
    Raises:
        InputError: edgekit runs from its source folder, and says nowhere what it needs.
    """
    extras = dict.fromkeys(
        ["", "run", "build", *(r.extra for r in find_runtimes().values()), *OTHERS]
    )
    targets = [*_targets(recipe)]
    faults = [*_faults(recipe, targets)] if recipe else []
    host = host_facts(store)
    return Diagnosis(
        edgekit=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        libraries={extra: [_library(need) for need in needs(extra)] for extra in extras},
        targets=targets,
        host=host,
        remarks=host_remarks(host),
        faults=[fault.message for fault in faults],
        remedy=next((fault.hint for fault in faults if fault.hint), _shortest(targets)),
        no_core_estimate=_no_core_estimate(),
        decoded_bytes=_decoded_bytes(recipe) if recipe and not faults else None,
    )


def _no_core_estimate() -> str | None:
    try:
        find_tools()
    except DeviceError as error:
        return f"{error.message}; {error.hint}"
    return None


def _targets(recipe: Recipe | None) -> Iterator[TargetNeeds]:
    """Those that come with edgekit and can be reached from the recipe's model."""
    extras = _extras_of(recipe) if recipe else ()
    for target in map(load_target, known_targets()):
        if recipe is None or _is_reachable(recipe, target):
            yield target_needs(target, extras)


def _shortest(targets: list[TargetNeeds]) -> str | None:
    return min((t.install for t in targets if t.install), key=len, default=None)


def _library(need: Need) -> InstalledLibrary:
    return InstalledLibrary(
        name=need.name, wanted=need.wanted, installed=need.installed, fits=need.is_met
    )


def _is_reachable(recipe: Recipe, target: Target) -> bool:
    return any(why_incompatible(recipe.model, variant) is None for variant in target.required)


def _extras_of(recipe: Recipe) -> tuple[str, ...]:
    pruned = any(stage.stage == "prune" for stage in recipe.stages)
    return (*OF_FORMATS[recipe.model.format], *(["prune"] if pruned else []))


def _faults(recipe: Recipe, targets: list[TargetNeeds]) -> Iterator[EdgekitError]:
    """What a build would stop at, as far as it can be told without reading the images."""
    looks: tuple[Callable[[], object], ...] = (
        lambda: check_weights(recipe),
        recipe.model.weights_file,
        recipe.data.listing,
    )
    told = set()
    for look in looks:
        try:
            look()
        except EdgekitError as error:
            if error.message not in told:
                yield error
            told.add(error.message)
    if not any(target.ready for target in targets):
        yield InputError("it can be built for no target yet", hint=_shortest(targets))


def _decoded_bytes(recipe: Recipe) -> int:
    """Were all of them for training, which are kept a little larger."""
    height, width = recipe.data.image_size
    images = len(recipe.data.listing().samples)
    return int(images * height * width * 3 * TRAIN_MARGIN**2)
