"""What labelled photos say of the input of a model from elsewhere, before its recipe is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from edgekit.data.framing import Fit
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
    has_free_fit: bool,
    plan: Callable[[Choices], Plan],
    store: Store,
    observer: Observer,
) -> Choices:
    """Choices under which the build's own check finds no better input, and `why_input`.

    Args:
        classes: the data's, in their own order.
        is_free: whether a recipe may say this input, as far as anybody has asked for another.
        has_free_fit: nothing says how the model's images were fitted: the likeliest way is taken.
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
        if found and has_free_fit:
            choices = replace(choices, fit=_likeliest_fit(found, choices.fit))
            found = _asked(plan(choices), store, observer)
    except EdgekitError as error:  # the build will say it, too
        return replace(guess, why_input=f"a guess: photos cannot be asked: {_words(error)}")
    if found is None:
        return choices
    told = _improved(guess, worse[0], choices, found) if worse else _confirmed(found)
    told += _by_fit(found) if has_free_fit else ""
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


def _likeliest_fit(found: SourceCheckMetadata, declared: Fit) -> Fit:
    """The one with which most images are right; of equals the declared one."""
    if found.guesses or found.better:
        return declared
    return max(found.fits, key=lambda fit: (found.fits[fit], fit == declared), default=declared)


def _by_fit(found: SourceCheckMetadata) -> str:
    if len(found.fits) < 2:
        return ""
    shares = sorted(found.fits.items(), key=lambda item: -item[1])
    return f". By fit: {', '.join(f'{fit} {100 * share:.1f} %' for fit, share in shares)}"


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
    return f". The photos do not tell this input from {'; '.join(others)}" if others else ""
