"""The steps of one target: compile, then quantise and export each variant, and choose among them.

Pure but for reading files; loads no heavy library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgekit.build.draft import REFERENCE, SPLITS, Draft, images
from edgekit.build.runtime_steps import Check, Compile, OnRuntime, Precompile, TakeOver
from edgekit.data.splits import CalibrationChoice, divide, pick_calibration
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.bench.validate_on_device import OnDevice
from edgekit.engine.action import Action
from edgekit.engine.step_id import StepId
from edgekit.errors import InputError
from edgekit.evaluation.choose import Choose
from edgekit.evaluation.gates import Gates
from edgekit.evaluation.measure import device_is_here
from edgekit.evaluation.validate import Validate
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
    model: StepId
    validation: StepId
    baseline: bool
    last: bool
    on_device: StepId | None = None
    """The step that runs it on a device of the user's, if there is one."""

    @property
    def judged(self) -> StepId:
        """The step after which all that is measured of it is there."""
        return self.on_device or self.validation


@dataclass(frozen=True, kw_only=True)
class TargetPlan:
    target: Target
    gates: Gates
    rows: tuple[Row, ...]
    choice: StepId | None
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
    draft: Draft,
    target: Target,
    trunk: list[StepId],
    judge: StepId,
    board: TimingDevice | None = None,
) -> TargetPlan:
    """Add the steps of one target to a draft.

    Args:
        trunk: steps that leave a float model, from the float reference on.
        judge: the step that decodes the images which accuracy is measured on.
        board: the user's device that stands for the target.

    Raises:
        InputError: gates that nothing here can measure, or that compare float with itself; a
            required variant that the recipe cannot have.
    """
    return TargetPlanner(draft, target, trunk, judge, board).plan()


@dataclass
class TargetPlanner:
    """Plans one target in four phases: 1. the gates that hold there, 2. the variants that the
    recipe can have, 3. the steps of each, 4. the choice among those that will have passed."""

    draft: Draft
    target: Target
    trunk: list[StepId]
    judge: StepId
    board: TimingDevice | None
    rows: list[Row] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)

    def plan(self) -> TargetPlan:
        gates = self._gates()
        stages = self._runtime_stages(gates)
        offered = self._offered(stages)
        self._plan_variants(offered, stages)
        _refuse_idle_gates(gates, self.rows)
        return TargetPlan(
            target=self.target,
            gates=gates,
            rows=tuple(self.rows),
            choice=self._plan_choice(offered),
            precision=next((getattr(s, "precision", None) for s in stages if s.images), None),
            unreachable=self.unreachable,
            board=self.board,
        )

    @property
    def device(self) -> str:
        """What runs the target's files on this machine."""
        return self.target.device if device_is_here(self.target.device) else "CPU"

    @property
    def timing_device(self) -> TimingDevice | None:
        """The user's device, where its milliseconds count: those of an emulated one do not."""
        return self.board if self.board and self.board.is_timed else None

    def _gates(self) -> Gates:
        gates = self.draft.recipe.gates.stricter(self.target.gates)
        timed = device_is_here(self.target.device) or self.timing_device
        if gates.max_latency_ms is not None and not timed:
            lacking = (
                f"{self.board.name} is emulated: it has no"
                if self.board
                else "no device is there to measure"
            )
            raise InputError(
                f"the gate max_latency_ms is set for {self.target.name}, and {lacking} "
                "milliseconds",
                hint="name a board with --device, or use max_latency_ratio, which is measured on "
                "this machine",
            )
        return gates

    def _runtime_stages(self, gates: Gates) -> list[RuntimeStage]:
        recipe = self.draft.recipe
        # Of what the trunk has lost already, a stage's own trials know nothing.
        asked = Gates() if any(s.distils for s in recipe.stages) else gates
        return [s.for_gates(asked) for s in recipe.stages if isinstance(s, RuntimeStage)]

    def _offered(self, stages: list[RuntimeStage]) -> list[Variant]:
        for variant in self.target.variants:
            why = _why_not(self.draft.recipe, variant, self.target, stages)
            if why:
                self.unreachable[variant.name] = why
        return [v for v in self.target.variants if v.name not in self.unreachable]

    def _plan_variants(self, offered: list[Variant], stages: list[RuntimeStage]) -> None:
        floats: dict[str, tuple[Row, Row]] = {}  # the reference, and what the trunk ends in
        for variant in offered:
            line = _VariantSteps(
                self.draft, self.target, variant, self.judge, self.device, self.board
            )
            if variant.runtime not in floats:
                compiled = line.compile(self.trunk, last=not stages)
                self.rows += compiled
                floats[variant.runtime] = compiled[0], compiled[-1]
            known = {row.validation for row in self.rows}
            made = line.compress(*floats[variant.runtime], stages)
            new = [row for row in made if row.validation not in known]
            self.rows += new
            if made and not new:
                why = "this recipe makes it the same file as another variant"
                self.unreachable[variant.name] = why

    def _plan_choice(self, offered: list[Variant]) -> StepId | None:
        # A file that leaves normalisation to the app is spared that work: no fair contender.
        spared = {variant.name for variant in offered if variant.io == "float"}
        final = {row.variant: row for row in self.rows if row.last and row.variant not in spared}
        if len(final) < 2:
            return None
        runtimes = {name: row.runtime for name, row in final.items()}
        action = Choose(runtimes, self.device, self.timing_device)
        inputs = {"images": self.judge} | {name: row.model for name, row in final.items()}
        return self.draft.add(StepId("choose", target=self.target.name), action, inputs)


def _why_not(
    recipe: Recipe, variant: Variant, target: Target, stages: list[RuntimeStage]
) -> str | None:
    """Why a recipe cannot have a variant; what else is wrong with a required one is raised."""
    why = why_incompatible(recipe.model, variant)
    if why or variant.name in target.runtimes:
        return why
    return _lacking_stage(variant, stages) or _refused_settings(variant, stages)


def _lacking_stage(variant: Variant, stages: list[RuntimeStage]) -> str | None:
    names = {stage.stage for stage in stages}
    if "quantize" not in names and (variant.precision or variant.quantizer or variant.via):
        return "the recipe has no quantize stage"
    if "export" not in names and variant.io != "uint8":
        return "the recipe has no export stage"
    return None


def _refused_settings(variant: Variant, stages: list[RuntimeStage]) -> str | None:
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
    judge: StepId
    device: str
    board: TimingDevice | None

    def compile(self, trunk: list[StepId], last: bool) -> list[Row]:
        """What the trunk left, in float, on the variant's runtime: once for all its variants."""
        rows: list[Row] = []
        for step in trunk:
            name = self._id(f"compile-{step}", self.variant.runtime)
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
        rows: list[Row] = []
        model = source.model
        for stage in stages:
            runtime = self._runtime()
            if self.variant.via and stage.images:
                runtime = find_runtimes()[self.variant.via]()
                compiled = self.draft.steps[source.model].inputs
                model = self._add(self._id(f"compile-{runtime.name}"), Compile(runtime), compiled)
            inputs = {"model": model} | _calibration_images(self.draft, stage)
            if stage.needs_source and self.draft.recipe.model.format == "torch":
                inputs["source"] = self.draft.steps[source.model].inputs["model"]
            action = OnRuntime(stage, runtime, self.variant)
            model = self._add(self._id(stage.stage), action, inputs)
            if runtime.name != self.variant.runtime:
                own = self._runtime()
                assert isinstance(own, TakesOver)  # a target refuses every other `via`
                model = self._add(self._id("take-over"), TakeOver(own, runtime), {"model": model})
            last = stage is stages[-1]
            if last:
                self._check(model)
            rows.append(self._row(stage.stage, self.variant.name, model, reference.model, last))
        return rows

    def _check(self, model: StepId) -> None:
        """What the target would refuse is told before it is measured, and never passes."""
        runtime = self._runtime()
        check = Check(runtime, self.target.device, self.target.engine)
        self._add(model.sibling("check"), check, {"model": model})
        if self.device != "CPU" and isinstance(runtime, CompilesAhead):
            ahead = Precompile(runtime, self.device)
            self._add(model.sibling(PRECOMPILE), ahead, {"model": model})

    def _runtime(self) -> Runtime:
        return find_runtimes()[self.variant.runtime]()

    def _id(self, name: str, folder: str = "") -> StepId:
        return StepId(name, target=self.target.name, variant=folder or self.variant.name)

    def _add(self, id: StepId, action: Action, inputs: dict[str, StepId]) -> StepId:
        """A step of the target; variants that begin alike share what they have in common."""
        return self.draft.add(id, action, inputs, owner=self.variant.name, shared=True)

    def _row(
        self, stage: str, variant: str, model: StepId, baseline: StepId | None, last: bool
    ) -> Row:
        inputs = {"model": model, "images": self.judge, "reference": REFERENCE}
        if baseline:
            inputs["baseline"] = baseline
        action = Validate(self.variant.runtime, baseline=not baseline, device=self.device)
        validation = self._add(model.sibling(f"validate-{stage}"), action, inputs)
        on_device = None
        if self.board:
            given = {r: i for r, i in inputs.items() if r != "reference"} | {
                "validation": validation
            }
            run = OnDevice(self.board, self.variant.runtime)
            on_device = self._add(model.sibling(f"on-{self.board.name}-{stage}"), run, given)
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


def _calibration_images(draft: Draft, stage: RuntimeStage) -> dict[str, StepId]:
    """The images a stage calibrates on, and those of the same side that judge what it tries."""
    if stage.images != "calibration":
        return {}
    settings: Any = stage
    choice = CalibrationChoice(settings.samples, settings.every_class)
    roles = {"calibration": _chosen(draft, images("calibration"), choice)}
    if stage.holds_back:
        others = CalibrationChoice(stage.holds_back, every_class=False, after=settings.samples)
        roles["held_back"] = _chosen(draft, images("held-back"), others)
    return roles


def _chosen(draft: Draft, id: StepId, choice: CalibrationChoice) -> StepId:
    if id not in draft.steps:
        # Refused here if it cannot be had, not after an hour of training.
        splits = divide(draft.inventory, draft.recipe.data)
        judge = draft.recipe.data.evaluate_on
        pick_calibration(splits, draft.inventory.digests, choice, judge)
        draft.add(id, draft.decode("calibration", choice), {"splits": SPLITS})
    return id
