"""Whoever runs steps in other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Observer
from edgekit.engine.step import Step

AHEAD = 4
"""Works that are under way for each worker: some of them wait to be timed."""
Item = TypeVar("Item")
Result = TypeVar("Result")


class Crew(Protocol):
    """Runs steps elsewhere; what they leave is found in the store by their keys."""

    def perform(self, step: Step, given: Mapping[str, Artifact], observer: Observer) -> bool:
        """Run a step to its end, unless somebody has meanwhile.

        Args:
            given: its inputs, by role.

        Returns:
            whether it was run for this call.

        Raises:
            EdgekitError: whatever the step raises, or its process was lost too often.
        """
        ...

    def has_run(self, step: Step) -> bool:
        """Whether it ran a step that was begun, and nobody has asked this yet."""
        ...

    def begin(self, steps: Sequence[Step]) -> None:
        """Run steps before anybody waits for them, each as soon as its inputs are there.

        Args:
            steps: in the order of a plan, with all that they need and the store lacks.
        """
        ...

    def aside(self) -> AbstractContextManager[None]:
        """While something is computed that is no step: the other works go on."""
        ...

    def in_order(
        self, work: Callable[[Item], Result], items: Sequence[Item], ahead: int = AHEAD
    ) -> Iterable[Result]:
        """Do some work for each of these, several at a time, and give the results in their order.
        The works take turns: one goes on while others wait for their steps.

        Args:
            ahead: that are under way for each worker. With few it stands still while others are
                timed; with many, more is begun than the time may be for.
        """
        ...


def aside(crew: Crew | None) -> AbstractContextManager[None]:
    """As the crew's, where there is one."""
    return crew.aside() if crew else nullcontext()


def in_order(
    crew: Crew | None, work: Callable[[Item], Result], items: Sequence[Item], ahead: int = AHEAD
) -> Iterable[Result]:
    """As the crew's, or one after the other where there is none."""
    return crew.in_order(work, items, ahead) if crew else map(work, items)
