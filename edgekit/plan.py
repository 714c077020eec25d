"""Recipe x targets -> steps, each with its key and why it would run or be skipped. Pure but for
reading files; loads no heavy library.

    splits -> images/<split>
    source -> finetune ... (the trunk, once for all targets)
    reference: scores of the float model that every later stage is held to
    <target>/<runtime>: compile -> quantize -> export, each followed by its validation
    <target>/choose: the fastest of the runtimes
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from edgekit.action import Action, library_versions
from edgekit.artifact import Json, Store, digest_of, sha256_of
from edgekit.data import (
    CalibrationChoice,
    Inventory,
    SplitData,
    divide,
    pick_calibration,
    take_inventory,
)
from edgekit.datasets.base import Sample
from edgekit.errors import InputError, WeightsError
from edgekit.gates import Gates
from edgekit.images import DecodeImages
from edgekit.models import LoadModel
from edgekit.plugins import find_runtimes
from edgekit.recipe import Recipe
from edgekit.stages.base import Compile, OnRuntime, RuntimeStage, Stage
from edgekit.target import Target
from edgekit.validate import Choose, ReferenceScores, Validate
from edgekit.weights import SEEN_DIGITS, seen_images

RECORD = "plan.json"


class State(StrEnum):
    CACHED = "cached"
    NEW = "new"
    CHANGED = "changed"
    FOLLOWS = "follows"
    FORCED = "forced"

    @property
    def runs(self) -> bool:
        return self is not State.CACHED


@dataclass(frozen=True, kw_only=True)
class Step:
    """One action with its inputs, by role, and everything its key is made of."""

    id: str
    action: Action
    inputs: dict[str, str]
    components: Json
    state: State = State.NEW
    reason: str = ""

    @property
    def key(self) -> str:
        return digest_of(self.components)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the report: an artifact on a runtime, and the step that validates it."""

    stage: str
    runtime: str
    model: str
    validation: str
    baseline: bool
    last: bool


@dataclass(frozen=True, kw_only=True)
class TargetPlan:
    target: Target
    gates: Gates
    rows: tuple[Row, ...]
    choice: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    recipe: Recipe
    base: Path
    """The folder of the recipe, to which its relative paths refer."""
    steps: tuple[Step, ...]
    targets: tuple[TargetPlan, ...]
    seen: frozenset[str]
    """Starts of the digests of all images that the trunk's weights have learned from."""

    def record(self) -> Json:
        """What the next plan compares itself with."""
        return {step.id: step.components for step in self.steps}


@dataclass
class _Draft:
    """Steps in the order they were added; an input must have been added before."""

    recipe: Recipe
    base: Path
    inventory: Inventory
    steps: dict[str, Step] = field(default_factory=dict)

    def add(
        self, id: str, action: Action, inputs: dict[str, str], files: Json | None = None
    ) -> str:
        components = {
            "action": type(action).__name__,
            "version": action.version,
            "settings": action.settings(),
            "libraries": library_versions(action.libraries),
            "inputs": {role: self.steps[name].key for role, name in inputs.items()},
            "files": files or {},
        }
        self.steps[id] = Step(id=id, action=action, inputs=inputs, components=components)
        return id


def make_plan(
    recipe: Recipe,
    base: Path,
    targets: list[Target],
    store: Store,
    last: Json | None = None,
    force: tuple[str, ...] = (),
) -> Plan:
    """Plan a build.

    Args:
        last: `Plan.record()` of the build before, to say what changed since.
        force: names of steps to run even if they are cached, with all that follows.

    Raises:
        InputError: data, weights or gates that cannot work, before anything runs.
    """
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise InputError(f"--target: a target is named twice: {', '.join(sorted(names))}")
    inventory = take_inventory(recipe.data, base, store.root / "digests")
    seen = _seen_images(recipe, base, inventory)
    draft = _Draft(recipe, base, inventory)
    draft.add("splits", SplitData(recipe.data, inventory), {})
    judge = f"images/{recipe.data.evaluate_on}"
    draft.add(judge, _decode(draft, recipe.data.evaluate_on), {"splits": "splits"})
    trunk, reference = _plan_trunk(draft)
    draft.add("reference", ReferenceScores(), {"model": reference, "images": judge})
    kept = trunk[trunk.index(reference) :]
    taken = {step.split("/")[0] for step in draft.steps} & set(names)
    if taken:
        raise InputError(
            f"a target cannot be named {', '.join(sorted(taken))}: a step bears that name",
            hint="rename the target's file, or give it a name: key",
        )
    planned = tuple(_plan_target(draft, target, kept, judge) for target in targets)
    steps = tuple(_with_reasons(list(draft.steps.values()), store, last or {}, force))
    return Plan(
        recipe=recipe,
        base=base,
        steps=steps,
        targets=planned,
        seen=frozenset(seen),
    )


def _seen_images(recipe: Recipe, base: Path, inventory: Inventory) -> set[str]:
    """Images the weights have learned from, or will have: here, and in the files they come from.

    Raises:
        WeightsError: one of them is an image that accuracy is to be measured on.
    """
    splits = divide(inventory, recipe.data)

    def starts(samples: list[Sample]) -> set[str]:
        return {inventory.digests[sample.name][:SEEN_DIGITS] for sample in samples}

    judged = starts(splits[recipe.data.evaluate_on])
    files = [recipe.model.weights_file(base)]
    files += [path for stage in recipe.stages for path in stage.files(base).values()]
    seen: set[str] = set()
    for path in filter(None, files):
        known = seen_images(path)
        if known & judged:
            raise WeightsError(
                f"{path} was trained on {len(known & judged)} of the {len(judged)} images that "
                "accuracy is to be measured on",
                hint="use the split it was trained with (data.seed, data.validation_share), or "
                "other weights",
            )
        seen |= known
    return seen | (starts(splits["train"]) if any(s.trains for s in recipe.stages) else set())


def _decode(draft: _Draft, split: str, calibration: CalibrationChoice | None = None) -> Action:
    return DecodeImages(draft.recipe.data, draft.inventory, split, calibration)


def _plan_trunk(draft: _Draft) -> tuple[list[str], str]:
    """Steps that leave a torch model, and the one that is the float reference."""
    recipe = draft.recipe
    load = LoadModel(recipe.model, draft.base, recipe.data.image_size, recipe.data.crop_pct)
    trunk = [draft.add("source", load, {"splits": "splits"})]
    reference = trunk[0]
    for i, stage in enumerate(recipe.stages):
        if stage.scope != "trunk":
            continue
        inputs = {"model": trunk[-1]}
        if stage.images:
            name = f"images/{stage.images}"
            if name not in draft.steps:
                draft.add(name, _decode(draft, stage.images), {"splits": "splits"})
            inputs[stage.images] = name
        files = {name: sha256_of(path) for name, path in stage.files(draft.base).items()}
        trunk.append(draft.add(_free(draft, stage.stage), stage, inputs, files))
        if stage.trains and all(s.trains for s in recipe.stages[:i]):
            reference = trunk[-1]
    return trunk, reference


def _plan_target(draft: _Draft, target: Target, trunk: list[str], judge: str) -> TargetPlan:
    gates = draft.recipe.gates.stricter(target.gates)
    if gates.max_latency_ms is not None:
        raise InputError(
            f"the gate max_latency_ms is set for {target.name}, and no device is there to "
            "measure milliseconds on",
            hint="use max_latency_ratio, which is measured on this machine",
        )
    rows: list[Row] = []
    for runtime in target.runtimes:
        rows += _plan_runtime(draft, target, runtime, trunk, judge)
    _refuse_idle_gates(gates, rows)
    final = {row.runtime: row.model for row in rows if row.last}
    choice = None
    if len(final) > 1:
        choice = draft.add(f"{target.name}/choose", Choose(), {"images": judge, **final})
    return TargetPlan(target=target, gates=gates, rows=tuple(rows), choice=choice)


def _refuse_idle_gates(gates: Gates, rows: list[Row]) -> None:
    """A recipe that ships its float reference has nothing to compare with it."""
    against_float = {"max_accuracy_drop", "max_size_ratio", "max_latency_ratio"}
    idle = sorted(against_float & set(gates.model_dump(exclude_none=True)))
    if idle and any(row.baseline and row.last for row in rows):
        raise InputError(
            f"the gate {', '.join(idle)} compares with the float model, and this recipe leaves "
            "nothing but the float model",
            hint="add a quantize stage, or remove the gate",
        )


def _plan_runtime(
    draft: _Draft, target: Target, name: str, trunk: list[str], judge: str
) -> list[Row]:
    """Compile, compress and export for one runtime; each step is validated before the next."""
    runtime = find_runtimes()[name]()
    prefix = f"{target.name}/{name}"
    stages = [s for s in draft.recipe.stages if isinstance(s, RuntimeStage)]
    rows: list[Row] = []

    def made(stage: str, model: str, last: bool) -> None:
        inputs = {"model": model, "images": judge, "reference": "reference"}
        if rows:
            inputs["baseline"] = rows[0].model
        action = Validate(name, baseline=not rows)
        step = draft.add(f"{prefix}/validate-{stage}", action, inputs)
        rows.append(
            Row(
                stage=stage,
                runtime=name,
                model=model,
                validation=step,
                baseline=not rows,
                last=last,
            )
        )

    for torch_step in trunk:
        step_id = f"{prefix}/compile-{torch_step}"
        compiled = draft.add(step_id, Compile(runtime), {"model": torch_step})
        made(torch_step, compiled, last=torch_step == trunk[-1] and not stages)
    for stage in stages:
        inputs = {"model": rows[-1].model} | _calibration_images(draft, stage)
        model = draft.add(f"{prefix}/{stage.stage}", OnRuntime(stage, runtime), inputs)
        made(stage.stage, model, last=stage is stages[-1])
    return rows


def _calibration_images(draft: _Draft, stage: Stage) -> dict[str, str]:
    if stage.images != "calibration":
        return {}
    name = "images/calibration"
    if name not in draft.steps:
        settings: Any = stage
        choice = CalibrationChoice(settings.samples, settings.every_class)
        # Refused here if it cannot be had, not after an hour of training.
        splits = divide(draft.inventory, draft.recipe.data)
        judge = draft.recipe.data.evaluate_on
        pick_calibration(splits, draft.inventory.digests, choice, judge)
        draft.add(name, _decode(draft, "calibration", choice), {"splits": "splits"})
    return {"calibration": name}


def _free(draft: _Draft, name: str) -> str:
    """`finetune`, then `finetune-2`, ..."""
    number = 2
    free = name
    while free in draft.steps:
        free = f"{name}-{number}"
        number += 1
    return free


def _with_reasons(
    steps: list[Step], store: Store, last: Json, force: tuple[str, ...]
) -> Iterator[Step]:
    known = {part for step in steps for part in (step.id, step.id.rsplit("/", 1)[-1])}
    unknown = [name for name in force if name not in known]
    if unknown:
        raise InputError(
            f"--force: no step {', '.join(unknown)}", hint=f"steps: {', '.join(sorted(known))}"
        )
    running: set[str] = set()
    forced: set[str] = set()
    for step in steps:
        state, reason = _why(step, store, last, running)
        if step.id in force or step.id.rsplit("/", 1)[-1] in force:
            state, reason = State.FORCED, "--force"
        elif forced & set(step.inputs.values()):
            state, reason = State.FORCED, "follows a forced step"
        if state is State.FORCED:
            forced.add(step.id)
        if state.runs:
            running.add(step.id)
        yield replace(step, state=state, reason=reason)


def _why(step: Step, store: Store, last: Json, running: set[str]) -> tuple[State, str]:
    if store.find(step.key):
        return State.CACHED, "unchanged"
    before = last.get(step.id)
    if before is None:
        return State.NEW, "never built here"
    changes = _differences(before, step.components)
    if changes:
        return State.CHANGED, "; ".join(changes[:3])
    above = [name for name in step.inputs.values() if name in running]
    if above:
        return State.FOLLOWS, f"after {', '.join(above)}"
    return State.NEW, "not finished, or removed from the store"


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
