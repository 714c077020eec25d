"""What labelled photos say of the input of a model from elsewhere, before its recipe is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from edgekit.engine.executor import Executor
from edgekit.engine.observer import Observer
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError
from edgekit.evaluation.input_advice import BetterInput
from edgekit.evaluation.source_check import SourceCheckMetadata
from edgekit.models.source import RANGES, InputRange
from edgekit.pipeline.draft import CHECK_SOURCE
from edgekit.pipeline.plan import Plan
from edgekit.printable import first_few, one_line
from edgekit.setup.choices import TOLD, Choices

ROUNDS = 3
"""Of choosing an input and asking again: one is nearly always enough."""
MOST_NAMED = 3


def settle_input(
    choices: Choices,
    classes: tuple[str, ...],
    is_free: Callable[[BetterInput], bool],
    plan: Callable[[Choices], Plan],
    store: Store,
    observer: Observer,
) -> Choices:
    """Choices under which the build's own check finds no better input, and `why_input`.

    Args:
        classes: the data's, in their own order.
        is_free: whether a recipe may say this input, as far as anybody has asked for another.
        plan: of the recipe that the choices give.
    """
    guess = choices
    worse: list[SourceCheckMetadata] = []
    try:
        while (found := _asked(plan(choices), store, observer)) and len(worse) < ROUNDS:
            if found.better is None:
                break
            if not is_free(found.better):
                return replace(guess, why_input=_words(found.better.error()))
            worse.append(found)
            choices = _taken(choices, found.better, choices.classes or classes)
    except EdgekitError as error:  # the build will say it, too
        return replace(guess, why_input=f"a guess: photos cannot be asked: {_words(error)}")
    if found is None:
        return choices
    told = _improved(guess, worse[0], choices, found) if worse else _confirmed(found)
    return replace(choices, guess=guess, why_input=one_line(told))


def _words(error: EdgekitError) -> str:
    return one_line(f"{error.message} ({error.hint})" if error.hint else error.message)


def _asked(plan: Plan, store: Store, observer: Observer) -> SourceCheckMetadata | None:
    """What the plan's check says; None where it has none: edgekit's own card says the input, or the
    model is trained further."""
    if all(step.id != CHECK_SOURCE for step in plan.steps):
        return None
    with Executor(store, observer) as executor:
        executor.perform_needed(plan.steps, [CHECK_SOURCE])
        return executor.artifacts[CHECK_SOURCE].described_by(SourceCheckMetadata)


def _taken(choices: Choices, better: BetterInput, classes: tuple[str, ...]) -> Choices:
    """
    Args:
        classes: in the order of the scores, as the check had them.
    """
    order = better.order
    return replace(
        choices,
        # Else it is what the recipe says in numbers.
        input_range=cast("InputRange", better.range)
        if better.range in RANGES
        else choices.input_range,
        channels=better.channels,
        fit=better.fit,
        orientation=better.orientation,
        interpolation=better.interpolation,
        classes=tuple(classes[i] for i in order) if order else choices.classes,
    )


def _improved(
    guess: Choices, first: SourceCheckMetadata, choices: Choices, found: SourceCheckMetadata
) -> str:
    """
    Args:
        first, found: what photos said of the guess, and of the choices.
    """
    keys = [key for key in TOLD if getattr(choices, key) != getattr(guess, key)]
    new, old = (", ".join(_value(c, key) for key in keys) for c in (choices, guess))
    return (
        f"{100 * found.right:.1f} % of {found.images} training photos are right with {new}; "
        f"{100 * first.right:.1f} % with {old}{_untold(found)}"
    )


def _value(choices: Choices, key: str) -> str:
    if key == "classes":
        return "the classes in this order" if choices.classes else "the folders' order"
    if key == "input_range":
        return choices.input_range or "the checkpoint's mean and std"
    return f"{key} {getattr(choices, key)}"


def _confirmed(found: SourceCheckMetadata) -> str:
    if found.guesses:
        return (
            f"a guess: under no input more of {found.images} training photos are right than "
            "naming the commonest class would be"
        )
    return (
        f"{100 * found.right:.1f} % of {found.images} training photos are right with this input, "
        f"and no other is better for sure{_untold(found)}"
    )


def _untold(found: SourceCheckMetadata) -> str:
    others = first_few((one.words for one in found.others), MOST_NAMED)
    return f". They do not tell this input from {'; '.join(others)}" if others else ""
