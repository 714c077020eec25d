"""A step of a plan: an action, its inputs, its key, and why it would run or be skipped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from edgekit.engine.action import METADATA_VERSION, Action, library_versions
from edgekit.engine.artifact import Artifact, Json, digest_of
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import InputError

NEVER_BUILT = "never built here"


class StepState(StrEnum):
    CACHED = "cached"
    """Its result is in the store, and is taken."""
    NEW = "new"
    """It has not run yet with these settings, or its result is no longer in the store."""
    CHANGED = "changed"
    """Something that its result depends on is another than in the build before."""
    FOLLOWS = "follows"
    """A step that it takes its input from runs."""
    FORCED = "forced"
    """`--force` names it, or a step before it."""

    @property
    def runs(self) -> bool:
        return self is not StepState.CACHED


@dataclass(frozen=True, kw_only=True)
class Step:
    """One action with its inputs, by role, and everything its key is made of."""

    id: StepId
    action: Action
    inputs: dict[str, StepId]
    components: Json
    owner: str = ""
    """The variant of the row it is for; empty for what all share."""
    state: StepState = StepState.NEW
    reason: str = ""
    seconds_before: float | None = None
    """That it took when it last ran, with these settings or those of the build before; None where
    the store has no such result."""

    @property
    def key(self) -> str:
        return digest_of(self.components)


def components_of(action: Action, inputs: Mapping[str, str], files: Json | None = None) -> Json:
    """All that the result of a step depends on.

    Args:
        inputs: keys of the steps, or digests of the artifacts, that it takes, by role.
        files: that it reads beside them.
    """
    return {
        "action": type(action).__name__,
        "metadata_version": METADATA_VERSION,
        "version": action.version,
        "settings": action.settings(),
        "libraries": library_versions(action.used_libraries()),
        "inputs": dict(inputs),
        "files": files or {},
    }


def step_on(name: str, action: Action, given: Mapping[str, Artifact], reason: str) -> Step:
    """One outside any plan, on artifacts that are at hand."""
    return Step(
        id=StepId(name),
        action=action,
        inputs={role: StepId(f"{role}-{one.digest[:12]}") for role, one in given.items()},
        components=components_of(action, {role: one.digest for role, one in given.items()}),
        reason=reason,
    )


def with_reasons(
    steps: list[Step], store: Store, last: Json, force: tuple[str, ...]
) -> Iterator[Step]:
    """Decide for each step whether it would run, in the order of the plan.

    Raises:
        InputError: `force` names a step that is not there.
    """
    known = {str(name) for step in steps for name in (step.id, step.id.name)}
    unknown = [name for name in force if name not in known]
    if unknown:
        raise InputError(
            f"--force: no step {', '.join(unknown)}", hint=f"steps: {', '.join(sorted(known))}"
        )
    running: set[StepId] = set()
    forced: set[StepId] = set()
    for step in steps:
        state, reason = _why(step, store, last, running)
        if {step.id, step.id.name} & {*force}:
            state, reason = StepState.FORCED, "--force"
        elif forced & set(step.inputs.values()):
            state, reason = StepState.FORCED, "follows a forced step"
        if state is StepState.FORCED:
            forced.add(step.id)
        if state.runs:
            running.add(step.id)
        yield replace(step, state=state, reason=reason, seconds_before=_before(step, store, last))


def _before(step: Step, store: Store, last: Json) -> float | None:
    keys = [step.key, *([digest_of(last[step.id])] if step.id in last else [])]
    return next((found.seconds for key in keys if (found := store.find(key))), None)


def _why(step: Step, store: Store, last: Json, running: set[StepId]) -> tuple[StepState, str]:
    if store.find(step.key):
        return StepState.CACHED, "unchanged"
    before = last.get(step.id)
    if before is None:
        return StepState.NEW, NEVER_BUILT
    changes = _differences(before, step.components)
    if changes:
        return StepState.CHANGED, "; ".join(changes[:3])
    above = [name for name in step.inputs.values() if name in running]
    if above:
        return StepState.FOLLOWS, f"after {', '.join(above)}"
    return StepState.NEW, "not finished, or removed from the store"


def _differences(before: Any, now: Any, where: str = "") -> list[str]:
    """What changed between two sets of components, but for the keys of the inputs."""
    if isinstance(before, dict) and isinstance(now, dict):
        found: list[str] = []
        for name in sorted({*before, *now} - ({"inputs"} if not where else set())):
            inner = f"{where}.{name}" if where else str(name)
            found += _differences(before.get(name), now.get(name), inner)
        return found
    if before == now:
        return []
    label = where.removeprefix("settings.").removeprefix("libraries.")
    if any(len(str(value)) > 40 for value in (before, now)):
        return [f"{label} changed"]
    return [f"{label}: {json.dumps(before)} -> {json.dumps(now)}"]
