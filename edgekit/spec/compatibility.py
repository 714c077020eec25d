"""Which runtimes can be reached from a model: not each reads ONNX files and Keras models."""

from __future__ import annotations

from edgekit.errors import EdgekitError, InputError
from edgekit.models.source import NAMES, ModelSource
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.target import Target, known_targets, load_target


def readers(source: ModelSource) -> list[str]:
    """The runtimes that compile a model of this format."""
    return [name for name, runtime in find_runtimes().items() if source.format in runtime.reads]


def why_incompatible(source: ModelSource, variant: Variant) -> str | None:
    """Why a variant cannot be built from a model; None where it can."""
    able = readers(source)
    for name in filter(None, (variant.runtime, variant.via)):
        if name not in able:
            return f"{name} does not read {NAMES[source.format]}, as {source.weights_name} is"
    return None


def compatible_targets(
    source: ModelSource, targets: list[Target]
) -> tuple[list[Target], dict[str, str]]:
    """The targets of which a required runtime reads the model, and why the others are left out.

    Raises:
        InputError: no target can be reached, before anything runs.
    """
    kept, lost = [], {}
    for target in targets:
        reasons = [why for v in target.required if (why := why_incompatible(source, v))]
        if not target.required or len(reasons) < len(target.required):
            kept.append(target)
        else:
            lost[target.name] = "; ".join(reasons)
    if not kept:
        places = _reachable(source)
        reasons = [f"{name}: {why}" for name, why in lost.items()]
        raise InputError(
            f"model.weights: {source.weights_name} cannot be built for " + "; ".join(reasons),
            hint=f"{NAMES[source.format]} can be built for {', '.join(readers(source))}"
            + (f": the targets {', '.join(places)}" if places else "")
            + "; or give a model of another format",
        )
    return kept, lost


def _reachable(source: ModelSource) -> list[str]:
    """The targets that come with edgekit of which a required runtime can be reached."""
    able, found = set(readers(source)), []
    for name in known_targets():
        try:
            target = load_target(name)
        except EdgekitError:
            continue  # told to whoever builds for it
        if able & set(target.runtimes):
            found.append(name)
    return found
