"""Which declaration of a model's input the images speak for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from edgekit.data.framing import Way
from edgekit.evaluation.input_claims import (
    Answered,
    Answers,
    Claim,
    Input,
    assign,
    choose,
    evaluate,
    is_surer,
    likeliest,
    no_worse,
    rank,
)
from edgekit.evidence import Verdict
from edgekit.models.source import RANGES, Channels

LABELS = np.tile([0, 1, 2], 20)
DECLARED = Claim("0..1", "rgb")
ORDERS: tuple[Channels, ...] = ("rgb", "bgr")


def answers(outputs: NDArray[np.int64], classes: int = 3, margin: float = 5.0) -> Answers:
    """A model that gives these classes, each by a margin in logits."""
    noise = np.random.default_rng(0).normal(scale=0.01, size=(len(outputs), classes))
    return Answers.of((margin * np.eye(classes)[outputs] + noise).astype(np.float32))


def everywhere(found: Answers, **others: Answers) -> Answered:
    """The same under every input; others under ranges in RGB."""
    same = {Input(r, c): found for r in RANGES for c in ORDERS}
    return same | {Input(r, "rgb"): other for r, other in others.items()}


ALL_WRONG = answers(np.zeros(60, int))
ALL_RIGHT = answers(LABELS)


def test_the_right_claim_stays() -> None:
    assert choose(everywhere(ALL_RIGHT), LABELS, DECLARED, 3) == (DECLARED, Verdict.CANNOT_TELL)


def test_a_range_that_fits_better_is_named() -> None:
    answered = everywhere(ALL_WRONG, **{"0..255": ALL_RIGHT})
    expected = (Claim("0..255", "rgb"), Verdict.BETTER)
    assert choose(answered, LABELS, DECLARED, 3) == expected


def test_a_fit_that_serves_better_is_named() -> None:
    squashed = Claim("0..1", "rgb", Way("squash"))
    answered = everywhere(ALL_WRONG) | {squashed.input: ALL_RIGHT}
    assert choose(answered, LABELS, DECLARED, 3) == (squashed, Verdict.BETTER)
    assert no_worse(answered, LABELS, squashed, 3) == []


def test_classes_in_another_order_are_named() -> None:
    turned = (LABELS + 1) % 3
    best, verdict = choose(everywhere(answers(turned)), LABELS, DECLARED, 3)
    assert (best, verdict) == (Claim("0..1", "rgb", reordered=True), Verdict.BETTER)
    assert assign(turned, LABELS, 3).tolist() == [2, 0, 1]


def test_each_half_of_the_images_holds_every_class() -> None:
    """Images come class by class in turn; halves of two classes each would see half a mistake."""
    labels = np.tile([0, 1, 2, 3], 15)
    wrong, right = answers(np.where(labels == 0, 2, labels), 4), answers(labels, 4)
    answered = everywhere(wrong, **{"0..255": right})
    assert choose(answered, labels, DECLARED, 4) == (Claim("0..255", "rgb"), Verdict.BETTER)


# Where top-1 does not tell


def test_a_range_under_which_the_model_is_surer_is_told_and_stops_nothing() -> None:
    """Trained on -1..1 and declared 0..1, or declared rightly and trained for a few epochs: every
    image is right under both, and no image says which it was."""
    answered = everywhere(ALL_WRONG, **{"0..1": answers(LABELS, margin=0.2), "-1..1": ALL_RIGHT})
    assert choose(answered, LABELS, DECLARED, 3) == (DECLARED, Verdict.CANNOT_TELL)
    (told,) = no_worse(answered, LABELS, DECLARED, 3)
    assert told.claim.range == "-1..1"
    assert told.losses.mean() == pytest.approx(0.013, abs=0.002)
    assert is_surer(told, evaluate(answered, LABELS, DECLARED, 3))


def test_a_range_under_which_fewer_images_are_right_is_not_called_surer() -> None:
    one_less = np.where(np.arange(60) == 7, (LABELS + 1) % 3, LABELS)
    unsure, sure = answers(LABELS, margin=0.2), answers(one_less)
    answered = everywhere(unsure, **{"-1..1": sure})
    claims = (DECLARED, Claim("-1..1", "rgb"))
    now, other = (evaluate(answered, LABELS, claim, 3) for claim in claims)
    assert not is_surer(other, now)


def test_two_mistakes_are_named_together() -> None:
    """With the range alone all would be right, and the channels remain in doubt."""
    answered = everywhere(ALL_WRONG, **{"-1..1": answers(LABELS, margin=0.2)})
    answered[Input("-1..1", "bgr")] = ALL_RIGHT
    assert choose(answered, LABELS, DECLARED, 3) == (Claim("-1..1", "bgr"), Verdict.BETTER)


def test_nothing_is_named_beside_the_mistake_that_the_images_do_not_tell() -> None:
    """One image more is right in BGR; that does not make a model of grey pictures one of BGR."""
    nearly = np.where(np.arange(60) == 7, (LABELS + 1) % 3, LABELS)
    answered = everywhere(ALL_WRONG, **{"-1..1": answers(nearly)})
    answered[Input("-1..1", "bgr")] = ALL_RIGHT
    assert choose(answered, LABELS, DECLARED, 3) == (Claim("-1..1", "rgb"), Verdict.BETTER)


def test_probabilities_and_logits_say_the_same_and_no_number_says_nothing() -> None:
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 9.0, 1.0]], np.float32)
    probabilities = Answers.of(softmax(logits, axis=1)).logits
    assert np.allclose(softmax(probabilities, axis=1), softmax(logits, axis=1), atol=1e-6)
    overflown = Answers.of(np.array([[np.inf, 0, np.nan], [1, 5, 2]], np.float32))
    assert overflown.logits[0].tolist() == [0, 0, 0]
    assert overflown.outputs.tolist() == [-1, 1]


def test_scores_that_are_no_numbers_are_right_about_nothing() -> None:
    """Not about the first class either."""
    overflown = Answers.of(np.full((60, 3), np.nan, np.float32))
    answered = everywhere(overflown, **{"-1..1": ALL_RIGHT})
    zeros = np.zeros(60, int)
    assert not evaluate(answered, zeros, DECLARED, 3, zeros == 0).right.any()
    assert choose(answered, LABELS, DECLARED, 3) == (Claim("-1..1", "rgb"), Verdict.BETTER)


def test_what_the_images_cannot_tell_is_named() -> None:
    labels = np.arange(100) % 10
    wrong, right = answers((labels + 1) % 10, 10), answers(labels, 10)
    answered = everywhere(wrong, **{"0..1": right})
    assert no_worse(answered, labels, DECLARED, 10) == []
    few, seen = np.arange(8), labels[:8]
    nearly = np.where(seen == 3, 4, seen)
    part = {
        key: Answers.of(found.logits[few].astype(np.float32)) for key, found in answered.items()
    }
    part[Input("imagenet", "rgb")] = answers(nearly, 10)
    assert Claim("imagenet", "rgb") in [one.claim for one in no_worse(part, seen, DECLARED, 10)]


def test_a_model_that_guesses_is_not_told_to_change_anything() -> None:
    """The best of many orders fits any guesses a little better: on the images it was chosen on."""
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(60):
        labels = rng.integers(0, 10, 100)
        answered: Answered = {
            Input(r, c): Answers.of(rng.normal(scale=scale, size=(100, 10)).astype(np.float32))
            for r, scale in zip(RANGES, (0.1, 1, 10, 300), strict=True)
            for c in ORDERS
        }
        verdicts.append(choose(answered, labels, DECLARED, 10)[1])
    assert verdicts.count(Verdict.BETTER) <= 5


def some_right(count: int) -> Answers:
    """So many of 60 images are right."""
    return answers(np.where(np.arange(60) < count, LABELS, (LABELS + 1) % 3))


def test_what_serves_no_worse_comes_best_first() -> None:
    more = {"-1..1": some_right(58), "0..255": ALL_RIGHT, "imagenet": answers(LABELS, margin=2.0)}
    found = no_worse(everywhere(ALL_WRONG, **{"0..1": some_right(58), **more}), LABELS, DECLARED, 3)
    assert [one.claim.range for one in found] == ["0..255", "imagenet", "-1..1"]
    assert sorted(found, key=rank) == found


def test_the_likeliest_range_need_not_be_proven() -> None:
    """A wrong fit hides it, and it is the one to try other fits with."""
    found = {"0..1": np.arange(60) < 20, "-1..1": np.arange(60) < 24}
    guessed = {name: answers(np.where(right, LABELS, 0)) for name, right in found.items()}
    answered = everywhere(ALL_WRONG, **guessed)
    assert likeliest(answered, LABELS, DECLARED, 3) == Claim("-1..1", "rgb")
    assert choose(answered, LABELS, DECLARED, 3)[1] is not Verdict.BETTER


def test_a_claim_is_taken_apart_where_it_changes_range_and_way() -> None:
    both = Claim("-1..1", "rgb", Way("squash"))
    assert both.halves(DECLARED) == (Claim("-1..1", "rgb"), Claim("0..1", "rgb", Way("squash")))
    assert both.changes(DECLARED) == 2
    assert Claim("-1..1", "rgb").halves(DECLARED) == ()
    assert Claim("0..1", "rgb", Way("squash")).halves(DECLARED) == ()
