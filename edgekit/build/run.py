"""Execute a plan: the only executor loop. Look the key up, or run, write to temp, hash, rename."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from edgekit.build.plan import Plan
from edgekit.build.target_plan import Row, TargetPlan
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bench.validate_on_device import OnDevice, read_device_report, record_of
from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Observer
from edgekit.engine.step import Step, StepState
from edgekit.engine.store import Store
from edgekit.errors import (
    DeviceError,
    EdgekitError,
    IntegrityError,
    MissingPackage,
    NotAsAsked,
    StorageError,
)
from edgekit.evaluation.gates import GateResult, Gates, judge
from edgekit.evaluation.metrics import Validation, gate_figures
from edgekit.evaluation.validate import Choice, read_choice, read_validation


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
    choice: Choice | None = None
    faults: list[str] = field(default_factory=list)
    """What broke, each with its variant, stage, figure and limit; empty if all is well."""
    error: EdgekitError | None = None
    """What ended the target where it was not a gate."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Alternatives that cannot ship, each with the reason."""

    @property
    def shipped(self) -> dict[str, RowResult]:
        """The last row of every variant that passed."""
        rows = {result.row.variant: result for result in self.rows if result.row.last}
        return {name: result for name, result in rows.items() if name not in self.left_out}


@dataclass
class Build:
    plan: Plan
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    targets: list[TargetResult] = field(default_factory=list)


def execute(plan: Plan, store: Store, observer: Observer) -> Build:
    """Run every step that is not cached, in order.

    A target stops at the first failure of a required variant, and the others go on; an alternative
    that fails is left out with its reason.

    Returns:
        the build, complete unless one of its targets has `faults`.
    """
    build = Build(
        plan,
        targets=[
            TargetResult(target, left_out=dict(target.unreachable)) for target in plan.targets
        ],
    )
    targets = {target.plan.target.name: target for target in build.targets}
    for step in plan.steps:
        target = targets.get(step.id.split("/")[0])
        if target is None:
            build.artifacts[step.id] = _perform(step, step.inputs, build, store, observer)
        elif not target.faults:
            _advance(step, target, build, store, observer)
    return build


def _advance(
    step: Step, target: TargetResult, build: Build, store: Store, observer: Observer
) -> None:
    """One step of a target; what fails in it is the target's fault or leaves the variant out."""
    if step.id == target.plan.choice:
        _choose(step, target, build, store, observer)
        return
    variant = step.owner.partition("/")[2]
    if variant not in target.left_out:
        missing = [name for name in step.inputs.values() if name not in build.artifacts]
        if missing:
            owner = missing[0].split("/")[1]
            why = target.left_out.get(owner, "it could not be made")
            target.left_out[variant] = f"needs {missing[0]}: {why}"
    if variant in target.left_out:
        return
    # What ails a device ails every variant: none is left out for it.
    required = variant in target.plan.target.runtimes or isinstance(step.action, OnDevice)
    try:
        build.artifacts[step.id] = _perform(step, step.inputs, build, store, observer)
    except (StorageError, IntegrityError, MissingPackage):
        raise  # of the machine, not of the variant
    except EdgekitError as error:
        observer.failed(step, error.message)
        if required and not isinstance(error, NotAsAsked):
            target.error = error
        _fail(target, variant, required, f"{step.id.rpartition('/')[2]}: {_told(error)}")
        return
    row = next((row for row in target.plan.rows if row.judged == step.id), None)
    if row:
        result = _judged(row, target.plan, build)
        target.rows.append(result)
        if result.broken:
            figures = "; ".join(map(str, result.broken))
            _fail(target, variant, required, f"{row.stage}: {figures}")


def _choose(
    step: Step, target: TargetResult, build: Build, store: Store, observer: Observer
) -> None:
    """Measure what passed in one run; where that fails, nothing has been chosen."""
    contenders = target.shipped.keys() & step.inputs.keys()
    if len(contenders) < 2:
        return
    kept = {role: i for role, i in step.inputs.items() if role in ("images", *contenders)}
    try:
        build.artifacts[step.id] = _perform(step, kept, build, store, observer)
    except DeviceError as error:
        target.error = error
        target.faults.append(f"choose: {_told(error)}")
        return
    target.choice = read_choice(build.artifacts[step.id])


def _told(error: EdgekitError) -> str:
    """What failed, and the usual mend."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _fail(target: TargetResult, variant: str, required: bool, reason: str) -> None:
    if required:
        target.faults.append(f"{variant} {reason}")
    else:
        target.left_out[variant] = reason


def _judged(row: Row, target: TargetPlan, build: Build) -> RowResult:
    validation = read_validation(build.artifacts[row.validation])
    report = read_device_report(build.artifacts[row.on_device]) if row.on_device else None
    # The float reference cannot lose against itself; it is judged only where it is what ships.
    gates = target.gates_for(row.variant) if row.last or not row.baseline else Gates()
    found = record_of(report) if report else None
    results = judge(gates, gate_figures(validation, found.latency if found else None), row.last)
    return RowResult(row, build.artifacts[row.model], validation, results, report)


def _perform(
    step: Step, named: dict[str, str], build: Build, store: Store, observer: Observer
) -> Artifact:
    """Find or make the artifact of a step from its inputs, which are `named` by role."""
    inputs = {role: build.artifacts[name] for role, name in named.items()}
    parents = tuple(sorted(artifact.digest for artifact in inputs.values()))

    def cached() -> Artifact | None:
        # A step above may have run again and given another result: then this one must too.
        found = None if step.state is StepState.FORCED else store.find(step.key)
        return found if found and found.parents == parents else None

    found = cached()
    if not found:
        with store.lock(step.key, waiting=lambda: observer.waiting(step)):
            # Another build may have run the step while this one waited for the lock.
            found = cached()
            if not found:
                found = _run(step, inputs, build, store, observer)
                build.ran.add(step.id)
    observer.finished(step, found, ran=step.id in build.ran)
    return found


def _run(
    step: Step, inputs: dict[str, Artifact], build: Build, store: Store, observer: Observer
) -> Artifact:
    observer.started(step)
    for artifact in inputs.values():
        artifact.verify()
    parents = tuple(sorted(artifact.digest for artifact in inputs.values()))
    context = Context(
        progress=lambda done, total, note: observer.progressed(step, done, total, note),
        partial=store.partial(step.key, parents, fresh=step.state is StepState.FORCED),
    )
    start = time.perf_counter()
    with store.workspace() as folder:
        metadata = step.action.run(inputs, folder, context)
        seconds = time.perf_counter() - start
        return store.commit(step.key, folder, metadata, parents, seconds)
