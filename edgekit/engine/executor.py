"""Run one step: look its key up in the store, or run it, write to temp, hash, rename."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Observer
from edgekit.engine.step import Step, StepState
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store


@dataclass
class Executor:
    """Runs steps in the order of a plan, and holds what they left."""

    store: Store
    observer: Observer
    artifacts: dict[StepId, Artifact] = field(default_factory=dict)
    ran: set[StepId] = field(default_factory=set)
    """Steps that were run, and not found in the store."""

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
        start = time.perf_counter()
        with self.store.workspace() as folder:
            metadata = step.action.run(given, folder, context)
            seconds = time.perf_counter() - start
            return self.store.commit(step.key, folder, metadata, parents, seconds)


def _parents(given: Mapping[str, Artifact]) -> tuple[str, ...]:
    return tuple(sorted(artifact.digest for artifact in given.values()))
