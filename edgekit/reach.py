"""Which runtimes can be reached from a model: not each reads ONNX files and Keras models."""

from __future__ import annotations

from edgekit.errors import EdgekitError, InputError
from edgekit.model_source import NAMES, ModelSource
from edgekit.plugins import find_runtimes
from edgekit.runtimes.base import Variant
from edgekit.target import Target, known_targets, load_target


def readers(source: ModelSource) -> list[str]:
    """The runtimes that compile a model of this format."""
    return [name for name, runtime in find_runtimes().items() if source.format in runtime.reads]


def why_unreachable(source: ModelSource, variant: Variant) -> str | None:
    """Why a variant cannot be built from a model; None where it can."""
    able = readers(source)
    for name in filter(None, (variant.runtime, variant.via)):
        if name not in able:
            return f"{name} does not read {NAMES[source.format]}, as {source.weights} is"
    return None


def require_reach(source: ModelSource, targets: list[Target]) -> None:
    """Refuse a model that a required runtime of a target does not read, before anything runs.

    Raises:
        InputError: naming the runtime, and what can be reached.
    """
    lost = [
        f"{target.name}: {why}"
        for target in targets
        for variant in target.variants
        if variant.name in target.runtimes and (why := why_unreachable(source, variant))
    ]
    if lost:
        places = _reachable(source)
        raise InputError(
            f"model.weights: {source.weights} cannot be built for " + "; ".join(lost),
            hint=f"{NAMES[source.format]} can be built for {', '.join(readers(source))}"
            + (f": the targets {', '.join(places)}" if places else "")
            + "; or give a model of another format",
        )


def _reachable(source: ModelSource) -> list[str]:
    """The targets that come with edgekit, all of whose required runtimes can be reached."""
    able, found = set(readers(source)), []
    for name in known_targets():
        try:
            target = load_target(name)
        except EdgekitError:
            continue  # told to whoever builds for it
        if able.issuperset(target.runtimes):
            found.append(name)
    return found
