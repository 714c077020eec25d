"""Recipe x targets -> steps, each with its key and why it would run or be skipped. Pure but for
reading files; loads no heavy library.

    splits -> images/<split>
    source -> finetune ... (the trunk, once for all targets)
    check-source: a file from elsewhere, held to what the recipe says of it
    reference: scores of the float model that every later stage is held to
    <target>/<runtime>: compile, validated
    <target>/<variant>: quantize -> export, each followed by its validation, and a check of the file
    <target>/<variant>/precompile: on a machine that has the target's own device
    <target>/choose: the fastest of the variants that passed
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit import source_check
from edgekit.action import Action
from edgekit.artifact import Json, Store, sha256_of
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
from edgekit.foreign import LoadForeign
from edgekit.gates import Gates
from edgekit.images import DecodeImages
from edgekit.measure import device_is_here
from edgekit.models import LoadModel
from edgekit.plugins import find_runtimes
from edgekit.reach import in_reach, why_unreachable
from edgekit.recipe import Recipe
from edgekit.runtimes.base import Runtime, Variant
from edgekit.stages.base import (
    Adopt,
    Check,
    Compile,
    OnRuntime,
    Precompile,
    RuntimeStage,
    Stage,
)
from edgekit.steps import Draft, Step, with_reasons
from edgekit.target import Target
from edgekit.validate import Choose, ReferenceScores, Validate
from edgekit.weights import SEEN_DIGITS, read_note, seen_images

RECORD = "plan.json"
PRECOMPILE = "precompile"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the report: an artifact on a runtime, and the step that validates it."""

    stage: str
    runtime: str
    variant: str
    """Of which the row is a stage; the float rows are shared by all variants of a runtime."""
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
    precision: str | None
    """What the recipe's quantize stage asks for."""
    unreachable: dict[str, str]
    """Variants that this recipe cannot have, each with the reason."""

    def gates_for(self, variant: str) -> Gates:
        """A size ratio is a promise of the recipe's own precision: a variant that brings another
        one is held to everything else."""
        own = next((v for v in self.target.variants if v.name == variant), None)
        if own and own.precision not in (None, self.precision):
            return self.gates.model_copy(update={"max_size_ratio": None})
        return self.gates


@dataclass(frozen=True, kw_only=True)
class Plan:
    recipe: Recipe
    base: Path
    """The folder of the recipe, to which its relative paths refer."""
    steps: tuple[Step, ...]
    targets: tuple[TargetPlan, ...]
    left_out: dict[str, str]
    """Targets that the recipe's model cannot reach at all, each with the reason."""
    seen: frozenset[str]
    """Starts of the digests of all images that the trunk's weights have learned from."""

    def record(self) -> Json:
        """What the next plan compares itself with."""
        return {step.id: step.components for step in self.steps}


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
    inventory = _in_order(recipe, take_inventory(recipe.data, base, store.root / "digests"))
    seen = _seen_images(recipe, base, inventory)
    draft = Draft(recipe, base, inventory)
    draft.add("splits", SplitData(recipe.data, inventory), {})
    judge = f"images/{recipe.data.evaluate_on}"
    draft.add(judge, _decode(draft, recipe.data.evaluate_on), {"splits": "splits"})
    trunk, reference = _plan_trunk(draft)
    scores = ReferenceScores(recipe.model.format)
    draft.add("reference", scores, {"model": reference, "images": judge})
    kept = trunk[trunk.index(reference) :]
    taken = {step.split("/")[0] for step in draft.steps} & set(names)
    if taken:
        raise InputError(
            f"a target cannot be named {', '.join(sorted(taken))}: a step bears that name",
            hint="rename the target's file, or give it a name: key",
        )
    targets, left_out = in_reach(recipe.model, targets)
    planned = tuple(_plan_target(draft, target, kept, judge) for target in targets)
    steps = tuple(with_reasons(list(draft.steps.values()), store, last or {}, force))
    return Plan(
        recipe=recipe,
        base=base,
        steps=steps,
        targets=planned,
        left_out=left_out,
        seen=frozenset(seen),
    )


def _in_order(recipe: Recipe, inventory: Inventory) -> Inventory:
    """The data's classes in the order of the model's scores, where the recipe gives it.

    Raises:
        InputError: these are not the data's classes.
    """
    order, own = recipe.model.classes, inventory.listing.classes
    if order is None:
        return inventory
    if set(order) != set(own):
        lacking = ", ".join(sorted(set(own) - set(order))) or "none"
        strange = ", ".join(sorted(set(order) - set(own))) or "none"
        raise InputError(
            f"model.classes are not the data's classes: lacking {lacking}; unknown {strange}",
            hint="name every class of the data once, in the order of the model's scores",
        )
    return replace(inventory, listing=replace(inventory.listing, classes=order))


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


def _decode(draft: Draft, split: str, calibration: CalibrationChoice | None = None) -> Action:
    return DecodeImages(draft.recipe.data, draft.inventory, split, calibration)


def _plan_trunk(draft: Draft) -> tuple[list[str], str]:
    """Steps that leave a float model, and the one that is the float reference."""
    recipe = draft.recipe
    kind = LoadModel if recipe.model.format == "torch" else LoadForeign
    load = kind(recipe.model, draft.base, recipe.data.image_size, recipe.data.crop_pct)
    trunk = [draft.add("source", load, {"splits": "splits"})]
    if _is_unproven(recipe, draft.base):
        _plan_source_check(draft)
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
        trunk.append(draft.add(draft.free(stage.stage), stage, inputs, files))
        if stage.trains and all(s.trains for s in recipe.stages[:i]):
            reference = trunk[-1]
    return trunk, reference


def _is_unproven(recipe: Recipe, base: Path) -> bool:
    """Whether what the model expects is known from the recipe alone: its file is neither edgekit's
    own, whose card says it, nor trained further here."""
    if recipe.model.format != "torch":
        return True
    file = recipe.model.weights_file(base) if recipe.model.is_file else None
    trained = any(stage.trains for stage in recipe.stages)
    return file is not None and not trained and not read_note(file)


def _plan_source_check(draft: Draft) -> None:
    """Whether a file from elsewhere is what the recipe says, asked of training images."""
    recipe, name = draft.recipe, "images/check-source"
    choice = CalibrationChoice(source_check.IMAGES, every_class=False)
    splits = divide(draft.inventory, recipe.data)
    pick_calibration(splits, draft.inventory.digests, choice, recipe.data.evaluate_on)
    draft.add(name, _decode(draft, "calibration", choice), {"splits": "splits"})
    check = source_check.CheckSource(recipe.model.format, Path(recipe.model.weights).name)
    draft.add("check-source", check, {"model": "source", "images": name})


def _plan_target(draft: Draft, target: Target, trunk: list[str], judge: str) -> TargetPlan:
    device = target.device if device_is_here(target.device) else "CPU"
    gates = draft.recipe.gates.stricter(target.gates)
    if gates.max_latency_ms is not None and not device_is_here(target.device):
        raise InputError(
            f"the gate max_latency_ms is set for {target.name}, and no device is there to "
            "measure milliseconds on",
            hint="use max_latency_ratio, which is measured on this machine",
        )
    stages = [s for s in draft.recipe.stages if isinstance(s, RuntimeStage)]
    rows: list[Row] = []
    floats: dict[str, Row] = {}
    unreachable = {
        v.name: why for v in target.variants if (why := _why_not(draft.recipe, v, target, stages))
    }
    offered = [v for v in target.variants if v.name not in unreachable]
    for variant in offered:
        line = _Line(draft, target, variant, judge, device)
        if variant.runtime not in floats:
            rows += line.compile(trunk, last=not stages)
            floats[variant.runtime] = rows[-1]
        known = {row.validation for row in rows}
        made = line.compress(floats[variant.runtime], stages)
        new = [row for row in made if row.validation not in known]
        rows += new
        if made and not new:
            unreachable[variant.name] = "this recipe makes it the same file as another variant"
    _refuse_idle_gates(gates, rows)
    # A file that leaves normalisation to the app is spared that work: no fair contender.
    spared = {variant.name for variant in offered if variant.io == "float"}
    final = {row.variant: row for row in rows if row.last and row.variant not in spared}
    choice = None
    if len(final) > 1:
        action = Choose({name: row.runtime for name, row in final.items()}, device)
        inputs = {"images": judge} | {name: row.model for name, row in final.items()}
        choice = draft.add(f"{target.name}/choose", action, inputs)
    return TargetPlan(
        target=target,
        gates=gates,
        rows=tuple(rows),
        choice=choice,
        precision=next((getattr(s, "precision", None) for s in stages if s.images), None),
        unreachable=unreachable,
    )


def _why_not(
    recipe: Recipe, variant: Variant, target: Target, stages: list[RuntimeStage]
) -> str | None:
    """Why a recipe cannot have a variant; what else is wrong with a required one is raised."""
    why = why_unreachable(recipe.model, variant)
    if why or variant.name in target.runtimes:
        return why
    names = {stage.stage for stage in stages}
    if "quantize" not in names and (variant.precision or variant.quantizer or variant.via):
        return "the recipe has no quantize stage"
    if "export" not in names and variant.io != "uint8":
        return "the recipe has no export stage"
    try:
        for stage in stages:
            maker = variant.via if variant.via and stage.images else variant.runtime
            stage.settings_for(find_runtimes()[maker](), variant)
    except InputError as error:
        return error.message
    return None


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


@dataclass(frozen=True)
class _Line:
    """The steps of one variant for one target; each artifact is validated before the next."""

    draft: Draft
    target: Target
    variant: Variant
    judge: str
    device: str

    def compile(self, trunk: list[str], last: bool) -> list[Row]:
        """What the trunk left, in float, on the variant's runtime: once for all its variants."""
        rows: list[Row] = []
        for step in trunk:
            name = f"{self.target.name}/{self.variant.runtime}/compile-{step}"
            model = self._add(name, Compile(self._runtime()), {"model": step})
            shipped = last and step == trunk[-1]
            baseline = rows[0].model if rows else None
            if shipped:
                self._check(model)
            rows.append(self._row(step, self.variant.runtime, model, baseline, shipped))
        return rows

    def compress(self, source: Row, stages: list[RuntimeStage]) -> list[Row]:
        """Quantised and exported, by way of another runtime where the variant says so."""
        prefix = f"{self.target.name}/{self.variant.name}"
        rows: list[Row] = []
        model = source.model
        for stage in stages:
            runtime, step = self._runtime(), f"{prefix}/{stage.stage}"
            if self.variant.via and stage.images:
                runtime = find_runtimes()[self.variant.via]()
                compiled = self.draft.steps[source.model].inputs
                model = self._add(f"{prefix}/compile-{runtime.name}", Compile(runtime), compiled)
            inputs = {"model": model} | _calibration_images(self.draft, stage)
            model = self._add(step, OnRuntime(stage, runtime, self.variant), inputs)
            if runtime.name != self.variant.runtime:
                model = self._add(
                    f"{prefix}/adopt", Adopt(self._runtime(), runtime), {"model": model}
                )
            last = stage is stages[-1]
            if last:
                self._check(model)
            rows.append(self._row(stage.stage, self.variant.name, model, source.model, last))
        return rows

    def _check(self, model: str) -> None:
        """What the target would refuse is told before it is measured, and never passes."""
        check = Check(self._runtime(), self.target.device, self.target.engine)
        folder = model.rpartition("/")[0]
        self._add(f"{folder}/check", check, {"model": model})
        if self.device != "CPU" and check.runtime.blob:
            self._add(
                f"{folder}/{PRECOMPILE}", Precompile(check.runtime, self.device), {"model": model}
            )

    def _runtime(self) -> Runtime:
        return find_runtimes()[self.variant.runtime]()

    def _add(self, name: str, action: Action, inputs: dict[str, str]) -> str:
        """A step of the target; variants that begin alike share what they have in common."""
        owner = f"{self.target.name}/{self.variant.name}"
        return self.draft.add(name, action, inputs, owner=owner, twins_in=f"{self.target.name}/")

    def _row(self, stage: str, variant: str, model: str, baseline: str | None, last: bool) -> Row:
        inputs = {"model": model, "images": self.judge, "reference": "reference"}
        if baseline:
            inputs["baseline"] = baseline
        action = Validate(self.variant.runtime, baseline=not baseline, device=self.device)
        step = f"{model.rsplit('/', 1)[0]}/validate-{stage}"
        return Row(
            stage=stage,
            runtime=self.variant.runtime,
            variant=variant,
            model=model,
            validation=self._add(step, action, inputs),
            baseline=not baseline,
            last=last,
        )


def _calibration_images(draft: Draft, stage: Stage) -> dict[str, str]:
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
