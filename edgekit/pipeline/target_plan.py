"""The steps of one target: compile, then quantise and export each variant, and choose among them.

Pure but for reading files; loads no heavy library.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.data.calibration import calibration_pool
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.emulated_wheel import refuse_dying
from edgekit.devices.estimate.modelled_target import core_of
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.evaluation.choose import Choose
from edgekit.evaluation.gates import Gates
from edgekit.evaluation.measure import HERE, device_is_here
from edgekit.pipeline.draft import Draft
from edgekit.pipeline.rows import Row
from edgekit.pipeline.target_core import machine_of, need_counting
from edgekit.pipeline.variant_steps import VariantSteps
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.compatibility import why_incompatible
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target
from edgekit.stages.base import RuntimeStage
from edgekit.transports.emulation.cpus import CPUS


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
    notes: dict[str, str] = field(default_factory=dict)
    """How stages will work, by stage, where that is no matter of course."""
    board: TimingDevice | None = None
    """The user's device that stands for the target."""
    allow_untrained: bool = False

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
    board: TimingDevice | None,
    store: Store,
) -> TargetPlan:
    """Add the steps of one target to a draft.

    Args:
        trunk: steps that leave a float model, from the float reference on.
        judge: the step that decodes the images which accuracy is measured on.
        board: the user's device that stands for the target.
        store: where estimates that a stage asks for are kept.

    Raises:
        InputError: gates that nothing here can measure, or that compare float with itself; a
            required variant that the recipe cannot have.
    """
    return TargetPlanner(draft, target, trunk, judge, board, store).plan()


@dataclass
class TargetPlanner:
    """Plans one target in four phases: 1. the gates that hold there, 2. the variants that the
    recipe can have, 3. the steps of each, 4. the choice among those that will have passed."""

    draft: Draft
    target: Target
    trunk: list[StepId]
    judge: StepId
    board: TimingDevice | None
    store: Store
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
            notes=self._notes(stages),
            board=self.board,
            allow_untrained=self.draft.recipe.allow_untrained,
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
        if gates.evidence == "estimated" and gates.max_latency_ratio and not self.timing_device:
            self._need_estimates()
        return gates

    def _need_estimates(self) -> None:
        """
        Raises:
            InputError: nothing models the target's core.
            DeviceError: something is missing that counting instructions needs.
        """
        core = core_of(self.target)
        if core is None:
            raise InputError(
                f"gates.evidence is `estimated`, and nothing models {self.target.cpu}, the "
                f"processor of {self.target.name}",
                hint=f"those of 64-bit {', '.join(CPUS)} are modelled; elsewhere leave it out",
            )
        need_counting(core, self.target)

    def _runtime_stages(self, gates: Gates) -> list[RuntimeStage]:
        recipe = self.draft.recipe
        # Of what the trunk has lost already, a stage's own trials know nothing.
        asked = Gates() if any(s.distils for s in recipe.stages) else gates
        stages = [s.for_gates(asked) for s in recipe.stages if isinstance(s, RuntimeStage)]
        where = (machine_of(stage, [self.target], HERE, self.store) for stage in stages)
        return [stage.timed_on(machine) for stage, machine in zip(stages, where, strict=True)]

    def _notes(self, stages: list[RuntimeStage]) -> dict[str, str]:
        images = len(calibration_pool(self.draft.splits))
        classes = len(self.draft.inventory.listing.classes)
        notes = {stage.stage: stage.plan_note(images, classes) for stage in stages}
        return {name: note for name, note in notes.items() if note}

    def _offered(self, stages: list[RuntimeStage]) -> list[Variant]:
        for variant in self.target.variants:
            why = _why_not(self.draft.recipe, variant, self.target, stages)
            if why:
                self.unreachable[variant.name] = why
        return [v for v in self.target.variants if v.name not in self.unreachable]

    def _plan_variants(self, offered: list[Variant], stages: list[RuntimeStage]) -> None:
        floats: dict[str, tuple[Row, Row]] = {}  # the reference, and what the trunk ends in
        for variant in offered:
            line = VariantSteps(
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
    if why:
        return why
    try:
        core = core_of(target)
        where = f"a {target.cpu.title()}, the processor of {target.name}"
        refuse_dying(find_runtimes()[variant.runtime](), core, where)
    except InputError as error:
        if variant.name in target.runtimes:
            raise
        return error.message
    if variant.name in target.runtimes:
        return None
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
    idle = sorted(against_float & set(gates.limits))
    if idle and any(row.baseline and row.last for row in rows):
        raise InputError(
            f"the gate {', '.join(idle)} compares with the float model, and this recipe leaves "
            "nothing but the float model",
            hint="add a quantize stage, or remove the gate",
        )
