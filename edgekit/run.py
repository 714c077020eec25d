"""Execute a plan: the only executor loop. Look the key up, or run, write to temp, hash, rename."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from edgekit.action import Context
from edgekit.artifact import Artifact, Store
from edgekit.errors import NotAsAsked
from edgekit.gates import GateResult, judge
from edgekit.plan import Plan, Row, State, Step, TargetPlan
from edgekit.validate import Choice, Validation, gate_figures, read_choice, read_validation


class Observer(Protocol):
    """Whoever watches a build. The CLI shows it; a script may collect it."""

    def started(self, step: Step) -> None: ...
    def progressed(self, step: Step, done: int, total: int, note: str) -> None: ...
    def finished(self, step: Step, artifact: Artifact, ran: bool) -> None: ...


class Silent:
    """An observer for scripts and tests."""

    def started(self, step: Step) -> None:
        pass

    def progressed(self, step: Step, done: int, total: int, note: str) -> None:
        pass

    def finished(self, step: Step, artifact: Artifact, ran: bool) -> None:
        pass


@dataclass
class RowResult:
    row: Row
    artifact: Artifact
    validation: Validation
    gates: list[GateResult]

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
    """What broke, each with its runtime, stage, figure and limit; empty if all is well."""


@dataclass
class Build:
    plan: Plan
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    targets: list[TargetResult] = field(default_factory=list)


def execute(plan: Plan, store: Store, observer: Observer) -> Build:
    """Run every step that is not cached, in order; stop at the first broken gate.

    Returns:
        the build, complete unless one of its targets has `faults`.
    """
    build = Build(plan, targets=[TargetResult(target) for target in plan.targets])
    owners = {
        step: (target, row)
        for target in build.targets
        for row in target.plan.rows
        for step in (row.model, row.validation)
    }
    choices = {t.plan.choice: t for t in build.targets if t.plan.choice}
    for step in plan.steps:
        try:
            build.artifacts[step.id] = _perform(step, build, store, observer)
        except NotAsAsked as error:
            target, row = owners[step.id]
            target.faults.append(f"{row.runtime} {row.stage}: {error.message}")
            break
        if step.id in choices:
            choices[step.id].choice = read_choice(build.artifacts[step.id])
        elif step.id in owners and step.id == owners[step.id][1].validation:
            target, row = owners[step.id]
            result = _judged(row, target.plan, build)
            target.rows.append(result)
            target.faults += [f"{row.runtime} {row.stage}: {gate}" for gate in result.broken]
            if target.faults:
                break
    return build


def _judged(row: Row, target: TargetPlan, build: Build) -> RowResult:
    validation = read_validation(build.artifacts[row.validation])
    figures = gate_figures(validation)
    # The float reference cannot lose against itself; it is judged only where it is what ships.
    gates = judge(target.gates, figures, row.last) if row.last or not row.baseline else []
    return RowResult(row, build.artifacts[row.model], validation, gates)


def _perform(step: Step, build: Build, store: Store, observer: Observer) -> Artifact:
    parents = tuple(sorted(build.artifacts[name].digest for name in step.inputs.values()))

    def cached() -> Artifact | None:
        # A step above may have run again and given another result: then this one must too.
        found = None if step.state is State.FORCED else store.find(step.key)
        return found if found and found.parents == parents else None

    found = cached()
    if not found:
        with store.lock(step.key):
            # Another build may have run the step while this one waited for the lock.
            found = cached()
            if not found:
                found = _run(step, build, store, observer)
                build.ran.add(step.id)
    observer.finished(step, found, ran=step.id in build.ran)
    return found


def _run(step: Step, build: Build, store: Store, observer: Observer) -> Artifact:
    inputs = {role: build.artifacts[name] for role, name in step.inputs.items()}
    observer.started(step)
    for artifact in inputs.values():
        artifact.verify()
    context = Context(
        progress=lambda done, total, note: observer.progressed(step, done, total, note),
        partial=store.partial(step.key),
        base=build.plan.base,
    )
    start = time.perf_counter()
    with store.workspace() as folder:
        metadata = step.action.run(inputs, folder, context)
        parents = tuple(sorted(artifact.digest for artifact in inputs.values()))
        seconds = time.perf_counter() - start
        return store.commit(step.key, folder, metadata, parents, seconds)
