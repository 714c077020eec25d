"""Whoever runs steps in other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Observer
from edgekit.engine.step import Step

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

    def in_order(
        self, work: Callable[[Item], Result], items: Sequence[Item], ahead: bool = True
    ) -> Iterable[Result]:
        """Do some work for each of these, several at a time, and give the results in their order.
        The works take turns: one goes on while others wait for their steps.

        Args:
            ahead: begin several for each worker, so that many are timed at once. Not where the time
                may be over before they come to be computed.
        """
        ...


def in_order(
    crew: Crew | None, work: Callable[[Item], Result], items: Sequence[Item], ahead: bool = True
) -> Iterable[Result]:
    """As the crew's, or one after the other where there is none."""
    return crew.in_order(work, items, ahead) if crew else map(work, items)
