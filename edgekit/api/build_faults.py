"""What a build ends with: all that broke of its targets, as one error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError, GateBroken, InputError

if TYPE_CHECKING:
    from edgekit.pipeline.run import Build


def faults(result: Build, folders: list[Path]) -> EdgekitError | None:
    """All that broke, target by target; what was no gate gives the exit code."""
    # Not from the reports: a target that fails before anything was measured has none.
    broken = [f"{t.plan.target.name}: {line}" for t in result.targets for line in t.faults]
    if not broken:
        return None
    error = next((t.error for t in result.targets if t.error), None)
    failure = GateBroken(_headline(result, broken, error), hint=_hint(result, folders))
    if error:
        failure.exit_code = error.exit_code
    return failure


def lost(result: Build, named: tuple[str, ...]) -> EdgekitError | None:
    """A target was asked for by its name, and nothing could be built for it."""
    empty = {t.plan.target.name: t.left_out for t in result.targets if not t.shipped}
    found = {
        name: "; ".join(f"{v}: {why}" for v, why in out.items()) for name, out in empty.items()
    }
    if named != ("all",):
        found |= result.plan.left_out
    if not found:
        return None
    return InputError(
        "nothing could be built for " + "; ".join(f"{n} ({why})" for n, why in found.items()),
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
