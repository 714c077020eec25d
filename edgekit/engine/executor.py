"""Run one step: look its key up in the store, or run it, write to temp, hash, rename."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, get_type_hints

from edgekit.engine.action import Action, Context, Progress
from edgekit.engine.artifact import Artifact, Metadata
from edgekit.engine.confined import ConfinedProcess
from edgekit.engine.confinement import Confinement
from edgekit.engine.crew import Crew
from edgekit.engine.lease import computing, timing
from edgekit.engine.observer import Observer
from edgekit.engine.step import Step, StepState
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.engine.temporary import sweep_temporary
from edgekit.errors import IntegrityError


@dataclass
class Executor:
    """Runs steps in the order of a plan, and holds what they left. A context: what it started ends
    with it."""

    store: Store
    observer: Observer
    crew: Crew | None = None
    """Runs the steps in place of this process, where there is one."""
    artifacts: dict[StepId, Artifact] = field(default_factory=dict)
    ran: set[StepId] = field(default_factory=set)
    """Steps that were run, and not found in the store."""
    _process: ConfinedProcess | None = None
    """One for all steps that need it: they are of one model, and loading its framework takes
    seconds."""
    _resources: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        sweep_temporary()
        return self

    def __exit__(self, *raised: object) -> None:
        self._resources.close()

    def perform_on(self, step: Step, given: Mapping[str, Artifact]) -> Artifact:
        """As `perform`, of a step outside any plan; what it left is verified.

        Args:
            given: its inputs, by role.
        """
        self.artifacts.update({step.inputs[role]: one for role, one in given.items()})
        found = self.perform(step)
        found.verify()
        return found

    def perform(self, step: Step, inputs: Mapping[str, StepId] | None = None) -> Artifact:
        """Find or make the artifact of a step.

        Args:
            inputs: those of its inputs to use, by role, where not all of them were made.

        Raises:
            EdgekitError: whatever the step's action raises; nothing is stored then.
            IntegrityError: one of its inputs is not what was stored.
        """
        chosen = step.inputs if inputs is None else inputs
        given = {role: self.artifacts[name] for role, name in chosen.items()}
        found = self._cached(step, given)
        if self.crew:
            if not found:
                found = self._performed(self.crew, step, given)
            elif self.crew.has_run(step):
                self.ran.add(step.id)
        if not found:
            with self.store.lock(step.key, waiting=lambda: self.observer.waiting(step)):
                # Another build may have run the step while this one waited for the lock.
                found = self._cached(step, given)
                if not found:
                    found = self._run(step, given)
                    self.ran.add(step.id)
        self.observer.finished(step, found, ran=step.id in self.ran)
        self.artifacts[step.id] = found
        return found

    def perform_needed(self, steps: Sequence[Step], wanted: Collection[StepId]) -> None:
        """Find or make what these steps leave, and what they need for it.

        Args:
            steps: of a plan, in its order.
            wanted: ids of some of them.

        Raises:
            EdgekitError: as `perform`.
        """
        inputs = {step.id: step.inputs.values() for step in steps}
        needed: set[StepId] = set()
        waiting = [*wanted]
        while waiting:
            if (name := waiting.pop()) not in needed:
                needed.add(name)
                waiting += inputs[name]
        order = [step for step in steps if step.id in needed and step.id not in self.artifacts]
        self.begin(order)
        for step in order:
            self.perform(step)

    def begin(self, steps: Sequence[Step]) -> None:
        """Let the crew, if there is one, run these steps before they are asked for.

        Args:
            steps: of a plan, in its order, without those that were performed.
        """
        if self.crew:
            self.crew.begin(steps)

    def _performed(self, crew: Crew, step: Step, given: Mapping[str, Artifact]) -> Artifact:
        if crew.perform(step, given, self.observer):
            self.ran.add(step.id)
        found = self.store.find(step.key)
        if found is None:
            raise IntegrityError(f"what {step.id} left has vanished from {self.store.root}")
        return found

    def _cached(self, step: Step, given: Mapping[str, Artifact]) -> Artifact | None:
        # A step above may have run again and given another result: then this one must too.
        found = None if step.state is StepState.FORCED else self.store.find(step.key)
        return found if found and found.parents == _parents(given) else None

    def _run(self, step: Step, given: Mapping[str, Artifact]) -> Artifact:
        self.observer.started(step)
        for artifact in given.values():
            artifact.verify()
        parents, forced = _parents(given), step.state is StepState.FORCED
        context = Context(
            progress=lambda done, total, note: self.observer.progressed(step, done, total, note),
            partial=self.store.partial(step.key, parents, fresh=forced),
        )
        limits = step.action.confinement(given)
        with self.store.workspace() as folder:
            with self._lease(step, limits):
                start = time.perf_counter()
                metadata = self._metadata(limits, step.action, given, folder, context)
                seconds = time.perf_counter() - start
            return self.store.commit(step.key, folder, metadata, parents, seconds)

    def _lease(self, step: Step, limits: Confinement | None) -> AbstractContextManager[None]:
        def waiting() -> None:
            self.observer.remark(f"{step.id}: waits for other steps of edgekit on this machine")

        # A confined process reaches no lease: what may time there has it from the beginning.
        alone = step.action.may_time if limits else step.action.times
        return timing(waiting) if alone else computing(waiting)

    def _metadata(
        self,
        limits: Confinement | None,
        action: Action,
        given: Mapping[str, Artifact],
        folder: Path,
        context: Context,
    ) -> Metadata:
        if limits:
            return self._confined(limits, action, given, folder, context.progress)
        return action.run(given, folder, context)

    def _confined(
        self,
        limits: Confinement,
        action: Action,
        given: Mapping[str, Artifact],
        folder: Path,
        progress: Progress,
    ) -> Metadata:
        if self._process is None:
            place = self._resources.enter_context(self.store.workspace())
            self._process = self._resources.enter_context(ConfinedProcess(place))
        kind: type[Metadata] = get_type_hints(action.run)["return"]
        return self._process.run(limits, _perform, (action, dict(given)), kind, folder, progress)


def _perform(
    action: Action, given: Mapping[str, Artifact], *, into: Path, progress: Progress
) -> Metadata:
    return action.run(given, into, Context(progress=progress, partial=into))


def _parents(given: Mapping[str, Artifact]) -> tuple[str, ...]:
    return tuple(sorted(artifact.digest for artifact in given.values()))
