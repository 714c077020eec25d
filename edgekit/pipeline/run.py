"""Run a plan and judge it: what broke a gate ends its target, what else fails is left out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bench.validate_on_device import OnDevice, read_device_report, record_of
from edgekit.devices.estimate.modelled_target import core_of
from edgekit.engine.artifact import Artifact
from edgekit.engine.crew import Crew
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Observer
from edgekit.engine.step import Step
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import (
    DeviceError,
    EdgekitError,
    IntegrityError,
    MissingPackage,
    NotAsAsked,
    StorageError,
)
from edgekit.evaluation.chance import ChanceTest, chance_test
from edgekit.evaluation.choose import Choice, Clarity, read_choice
from edgekit.evaluation.gates import GateResult, Gates, judge
from edgekit.evaluation.metrics import Validation, gate_figures
from edgekit.evaluation.source_check import SourceCheckMetadata
from edgekit.evaluation.validate import read_validation
from edgekit.evidence import Evidence, Measurement, Status
from edgekit.pipeline.plan import Plan
from edgekit.pipeline.rows import Row
from edgekit.pipeline.target_core import estimate_artifact
from edgekit.pipeline.target_plan import TargetPlan
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.int8_sums import sums_saturate

LOG = logging.getLogger(__name__)
"""What --debug shows of a failure that does not end the build: its traceback."""


@dataclass
class RowResult:
    row: Row
    artifact: Artifact
    validation: Validation
    gates: list[GateResult]
    on_device: DeviceReport | None = None

    @property
    def broken(self) -> list[GateResult]:
        return [gate for gate in self.gates if not gate.passed]


@dataclass
class TargetResult:
    """What came of a target: complete, or up to the row that broke a gate."""

    plan: TargetPlan
    rows: list[RowResult] = field(default_factory=list)
    chance: ChanceTest | None = None
    """Whether the float model is better than guessing; None where nothing was measured."""
    choice: Choice | None = None
    faults: list[str] = field(default_factory=list)
    """What broke, each with its variant, stage, figure and limit; empty if all is well."""
    error: EdgekitError | None = None
    """What ended the target where it was not a gate."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Alternatives that cannot ship, each with the reason."""

    @property
    def status(self) -> Status:
        """Of a model that has learned nothing, a gate that it holds says nothing."""
        if self.faults and not self.is_refused:
            return Status.BROKEN
        return Status.PASSED if self.is_trained else Status.UNTRAINED

    @property
    def is_trained(self) -> bool:
        """Nothing says that its float model guesses."""
        return self.chance is None or self.chance.is_trained

    @property
    def is_refused(self) -> bool:
        """Its float model guesses, and the recipe does not allow it."""
        return not self.is_trained and not self.plan.allow_untrained

    @property
    def shipped(self) -> dict[str, RowResult]:
        """The last row of every variant that passed."""
        rows = {result.row.variant: result for result in self.rows if result.row.last}
        return {name: result for name, result in rows.items() if name not in self.left_out}

    @property
    def evidence(self) -> Evidence:
        """Where accuracy and latency were seen."""
        ratios = [row.validation.latency.ratio for row in self.rows]
        return next((ratio.evidence for ratio in ratios if ratio), Evidence.HOST)

    @property
    def was_timed(self) -> bool:
        """Whether the target's own device told the latency."""
        board = self.plan.board
        return self.evidence is Evidence.MEASURED or bool(board and board.is_timed)

    def may_saturate(self, found: RowResult) -> bool:
        """Whether int8 sums of a file may saturate on the target; its scores are of exact ones."""
        used = found.artifact.described_by(CompiledMetadata).quantization
        eight_bits = used is not None and used.precision == "int8" and used.weight_bits == 8
        runtime, target = find_runtimes()[found.row.runtime], self.plan.target
        return eight_bits and runtime.saturates and sums_saturate(target.device, target.isa)


@dataclass
class Build:
    plan: Plan
    artifacts: dict[StepId, Artifact] = field(default_factory=dict)
    ran: set[StepId] = field(default_factory=set)
    targets: list[TargetResult] = field(default_factory=list)


def begin(plan: Plan, crew: Crew) -> None:
    """Let a crew run what does not depend on which variants pass."""
    choices = {target.choice for target in plan.targets}
    crew.begin([step for step in plan.steps if step.id not in choices])


def execute(plan: Plan, store: Store, observer: Observer, crew: Crew | None = None) -> Build:
    """Run every step that is not cached, in order.

    A target stops at the first failure of a required variant, and the others go on; an alternative
    that fails is left out with its reason.

    Returns:
        the build, complete unless one of its targets has `faults`.

    Raises:
        InputError: a model from elsewhere is not what the recipe says of it.
        EdgekitError: a step that all targets share failed, or the machine itself did.
    """
    with Executor(store, observer, crew) as executor:
        runs = {
            target.target.name: _TargetRun(
                executor, TargetResult(target, left_out=dict(target.unreachable))
            )
            for target in plan.targets
        }
        for step in plan.steps:
            if step.id.target:
                runs[step.id.target].advance(step)
            else:
                _refuse_other_input(executor.perform(step))
    results = [run.result for run in runs.values()]
    return Build(plan, executor.artifacts, executor.ran, results)


def _refuse_other_input(artifact: Artifact) -> None:
    """
    Raises:
        InputError: the images say that a model from elsewhere is not what the recipe says of it.
    """
    if artifact.is_described_by(SourceCheckMetadata):
        better = artifact.described_by(SourceCheckMetadata).better
        if better:
            raise better.error()


@dataclass
class _TargetRun:
    """A target while its steps run: what fails is its fault, or leaves a variant out."""

    executor: Executor
    result: TargetResult

    def advance(self, step: Step) -> None:
        """Run one step of the target, unless a fault or a variant left out makes it idle."""
        if self.result.faults:
            return
        if step.id == self.result.plan.choice:
            self._choose(step)
        elif not self._is_left_out(step) and self._perform(step):
            self._judge(step)

    def _is_left_out(self, step: Step) -> bool:
        """Whether its variant is out; it is from now on where what it needs was not made."""
        left_out = self.result.left_out
        missing = [id for id in step.inputs.values() if id not in self.executor.artifacts]
        if missing and step.owner not in left_out:
            why = left_out.get(missing[0].variant, "it could not be made")
            left_out[step.owner] = f"needs {missing[0]}: {why}"
        return step.owner in left_out

    def _perform(self, step: Step) -> bool:
        try:
            self.executor.perform(step)
        except (StorageError, IntegrityError, MissingPackage):
            raise  # of the machine, not of the variant
        except EdgekitError as error:
            LOG.debug("%s failed", step.id, exc_info=True)
            self.executor.observer.failed(step, error.message)
            required = self._is_required(step)
            if required and not isinstance(error, NotAsAsked):
                self.result.error = error
            self._fail(step.owner, required, f"{step.id.name}: {_with_hint(error)}")
            return False
        return True

    def _judge(self, step: Step) -> None:
        """Hold the row that is complete with this step, if there is one, to the gates."""
        plan = self.result.plan
        row = next((row for row in plan.rows if row.judged == step.id), None)
        if row is None:
            return
        try:
            core_ratio = self._core_ratio(row)
        except DeviceError as error:
            self._fail(step.owner, self._is_required(step), f"estimate: {_with_hint(error)}")
            return
        found = _judged(row, plan, self.executor.artifacts, core_ratio)
        self.result.rows.append(found)
        if self.result.chance is None:  # the first row is the float reference's
            self.result.chance = chance_test(found.validation)
        if self.result.is_refused:
            self.result.faults.append(str(self.result.chance))
        elif found.broken:
            figures = "; ".join(map(str, found.broken))
            self._fail(step.owner, self._is_required(step), f"{row.stage}: {figures}")

    def _core_ratio(self, row: Row) -> Measurement | None:
        """The row's latency ratio on the target's core, where the recipe gates that.

        Raises:
            DeviceError: one of the two files could not be run.
        """
        plan = self.result.plan
        gates, core = plan.gates_for(row.variant), core_of(plan.target)
        asked = gates.evidence == "estimated" and gates.max_latency_ratio is not None
        floats = [r for r in plan.rows if r.baseline and r.runtime == row.runtime]
        if self.result.was_timed or not (asked and core and row.last and floats):
            return None
        artifacts, store = self.executor.artifacts, self.executor.store
        remark = self.executor.observer.remark
        own, other = (
            estimate_artifact(artifacts[r.model], r.runtime, core, store, remark)
            for r in (row, floats[0])
        )
        return own.ratio_to(other)

    def _is_required(self, step: Step) -> bool:
        # What ails a device ails every variant: none is left out for it.
        return step.owner in self.result.plan.target.runtimes or isinstance(step.action, OnDevice)

    def _fail(self, variant: str, required: bool, reason: str) -> None:
        if required:
            self.result.faults.append(f"{variant} {reason}")
        else:
            self.result.left_out[variant] = reason

    def _choose(self, step: Step) -> None:
        """Measure what passed in one run; where that fails, nothing has been chosen."""
        contenders = self.result.shipped.keys() & step.inputs.keys()
        if len(contenders) < 2:
            return
        kept = {role: id for role, id in step.inputs.items() if role in ("images", *contenders)}
        try:
            choice = read_choice(self.executor.perform(step, kept))
        except DeviceError as error:
            LOG.debug("%s failed", step.id, exc_info=True)
            self.result.error = error
            self.result.faults.append(f"choose: {_with_hint(error)}")
        else:
            known = {name: self._clarity(self.result.shipped[name]) for name in contenders}
            self.result.choice = choice.by_clarity(known)

    def _clarity(self, found: RowResult) -> Clarity:
        precision = found.artifact.described_by(CompiledMetadata).precision
        saturates = self.result.may_saturate(found)
        return Clarity(found.validation.sqnr_db, precision, saturates)


def _with_hint(error: EdgekitError) -> str:
    """What failed, and the usual fix."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _judged(
    row: Row,
    target: TargetPlan,
    artifacts: dict[StepId, Artifact],
    core_ratio: Measurement | None,
) -> RowResult:
    validation = read_validation(artifacts[row.validation])
    report = read_device_report(artifacts[row.on_device]) if row.on_device else None
    # The float reference cannot lose against itself; it is judged only where it is what ships.
    gates = target.gates_for(row.variant) if row.last or not row.baseline else Gates()
    found = record_of(report) if report else None
    figures = gate_figures(validation, found.latency if found else None)
    if core_ratio:
        figures["max_latency_ratio"] = core_ratio
    results = judge(gates, figures, row.last)
    return RowResult(row, artifacts[row.model], validation, results, report)
