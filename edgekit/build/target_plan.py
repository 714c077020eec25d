"""The steps of one target: compile, then quantise and export each variant, and choose among them.

Pure but for reading files; loads no heavy library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.build.draft import Draft
from edgekit.build.runtime_steps import Check, Compile, OnRuntime, Precompile, TakeOver
from edgekit.data.splits import CalibrationChoice, divide, pick_calibration
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.bench.validate_on_device import OnDevice
from edgekit.engine.action import Action
from edgekit.errors import InputError
from edgekit.evaluation.gates import Gates
from edgekit.evaluation.measure import device_is_here
from edgekit.evaluation.validate import Choose, Validate
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import CompilesAhead, Runtime, TakesOver
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.compatibility import why_incompatible
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target
from edgekit.stages.base import RuntimeStage

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
    on_device: str | None = None
    """The step that runs it on a device of the user's, if there is one."""

    @property
    def judged(self) -> str:
        """The step after which all that is measured of it is there."""
        return self.on_device or self.validation


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
    board: TimingDevice | None = None
    """The user's device that stands for the target."""

    def gates_for(self, variant: str) -> Gates:
        """A size ratio is a promise of the recipe's own precision: a variant that brings another
        one is held to everything else."""
        own = next((v for v in self.target.variants if v.name == variant), None)
        if own and own.precision not in (None, self.precision):
            return self.gates.model_copy(update={"max_size_ratio": None})
        return self.gates


def plan_target(
    draft: Draft, target: Target, trunk: list[str], judge: str, board: TimingDevice | None = None
) -> TargetPlan:
    device = target.device if device_is_here(target.device) else "CPU"
    gates = draft.recipe.gates.stricter(target.gates)
    timed = device_is_here(target.device) or (board is not None and board.is_timed)
    if gates.max_latency_ms is not None and not timed:
        raise InputError(
            f"the gate max_latency_ms is set for {target.name}, and "
            + (f"{board.name} is emulated: it has no" if board else "no device is there to measure")
            + " milliseconds",
            hint="name a board with --device, or use max_latency_ratio, which is measured on this "
            "machine",
        )
    # Of what the trunk has lost already, a stage's own trials know nothing.
    asked = Gates() if any(s.distils for s in draft.recipe.stages) else gates
    stages = [s.for_gates(asked) for s in draft.recipe.stages if isinstance(s, RuntimeStage)]
    rows: list[Row] = []
    floats: dict[str, tuple[Row, Row]] = {}  # the reference, and what the trunk ends in
    unreachable = {
        v.name: why for v in target.variants if (why := _why_not(draft.recipe, v, target, stages))
    }
    offered = [v for v in target.variants if v.name not in unreachable]
    for variant in offered:
        line = _VariantSteps(draft, target, variant, judge, device, board)
        if variant.runtime not in floats:
            compiled = line.compile(trunk, last=not stages)
            rows += compiled
            floats[variant.runtime] = compiled[0], compiled[-1]
        known = {row.validation for row in rows}
        made = line.compress(*floats[variant.runtime], stages)
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
        runtimes = {name: row.runtime for name, row in final.items()}
        timed_there = board is not None and board.is_timed
        action = Choose(runtimes, device, board if timed_there else None)
        inputs = {"images": judge} | {name: row.model for name, row in final.items()}
        choice = draft.add(f"{target.name}/choose", action, inputs)
    return TargetPlan(
        target=target,
        gates=gates,
        rows=tuple(rows),
        choice=choice,
        precision=next((getattr(s, "precision", None) for s in stages if s.images), None),
        unreachable=unreachable,
        board=board,
    )


def _why_not(
    recipe: Recipe, variant: Variant, target: Target, stages: list[RuntimeStage]
) -> str | None:
    """Why a recipe cannot have a variant; what else is wrong with a required one is raised."""
    why = why_incompatible(recipe.model, variant)
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
class _VariantSteps:
    """The steps of one variant for one target; each artifact is validated before the next."""

    draft: Draft
    target: Target
    variant: Variant
    judge: str
    device: str
    board: TimingDevice | None

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

    def compress(self, reference: Row, source: Row, stages: list[RuntimeStage]) -> list[Row]:
        """Quantised and exported, by way of another runtime where the variant says so; compared
        with the float reference, whatever the trunk made of it."""
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
            if stage.needs_source and self.draft.recipe.model.format == "torch":
                inputs["source"] = self.draft.steps[source.model].inputs["model"]
            model = self._add(step, OnRuntime(stage, runtime, self.variant), inputs)
            if runtime.name != self.variant.runtime:
                own = self._runtime()
                assert isinstance(own, TakesOver)  # a target refuses every other `via`
                model = self._add(f"{prefix}/take-over", TakeOver(own, runtime), {"model": model})
            last = stage is stages[-1]
            if last:
                self._check(model)
            rows.append(self._row(stage.stage, self.variant.name, model, reference.model, last))
        return rows

    def _check(self, model: str) -> None:
        """What the target would refuse is told before it is measured, and never passes."""
        runtime = self._runtime()
        check = Check(runtime, self.target.device, self.target.engine)
        folder = model.rpartition("/")[0]
        self._add(f"{folder}/check", check, {"model": model})
        if self.device != "CPU" and isinstance(runtime, CompilesAhead):
            ahead = Precompile(runtime, self.device)
            self._add(f"{folder}/{PRECOMPILE}", ahead, {"model": model})

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
        folder = model.rsplit("/", 1)[0]
        validation = self._add(f"{folder}/validate-{stage}", action, inputs)
        on_device = None
        if self.board:
            given = {r: i for r, i in inputs.items() if r != "reference"} | {
                "validation": validation
            }
            run = OnDevice(self.board, self.variant.runtime)
            on_device = self._add(f"{folder}/on-{self.board.name}-{stage}", run, given)
        return Row(
            stage=stage,
            runtime=self.variant.runtime,
            variant=variant,
            model=model,
            validation=validation,
            baseline=not baseline,
            last=last,
            on_device=on_device,
        )


def _calibration_images(draft: Draft, stage: RuntimeStage) -> dict[str, str]:
    """The images a stage calibrates on, and those of the same side that judge what it tries."""
    if stage.images != "calibration":
        return {}
    settings: Any = stage
    choice = CalibrationChoice(settings.samples, settings.every_class)
    roles = {"calibration": _chosen(draft, "images/calibration", choice)}
    if stage.holds_back:
        others = CalibrationChoice(stage.holds_back, every_class=False, after=settings.samples)
        roles["held_back"] = _chosen(draft, "images/held-back", others)
    return roles


def _chosen(draft: Draft, name: str, choice: CalibrationChoice) -> str:
    if name not in draft.steps:
        # Refused here if it cannot be had, not after an hour of training.
        splits = divide(draft.inventory, draft.recipe.data)
        judge = draft.recipe.data.evaluate_on
        pick_calibration(splits, draft.inventory.digests, choice, judge)
        draft.add(name, draft.decode("calibration", choice), {"splits": "splits"})
    return name
