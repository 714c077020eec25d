"""Which declaration of a model's input fits labelled images best.

A declaration is a range, an order of channels, a fit and an order of classes. Top-1 alone proves a
recipe wrong. Where every image is right under two inputs, only the log-loss tells them apart: a
model that sees what it was trained on is surer of the right class. But a larger range makes a model
surer too, above all one that was trained for a few epochs; so that is told, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from edgekit import stats
from edgekit.data.framing import Fit
from edgekit.evaluation.score_meaning import meaning_of
from edgekit.evidence import Verdict
from edgekit.models.source import Channels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_LOSS = 0.1
"""Nats by which a mean log-loss has to fall before a model is called surer."""

EVERY = slice(None)
"""All images, where a part of them could be meant."""

Input = tuple[str, Channels, Fit]


@dataclass(frozen=True)
class Claim:
    """What a recipe may say of a model's input, and whether the classes are in another order."""

    range: str
    """A key of RANGES, or `mean and std` for what the recipe gives in numbers."""
    channels: Channels
    fit: Fit = "crop"
    reordered: bool = False

    @property
    def input(self) -> Input:
        return self.range, self.channels, self.fit

    def changes(self, declared: Claim) -> int:
        pairs = zip(self.input, declared.input, strict=True)
        return self.reordered + sum(own != other for own, other in pairs)


@dataclass(frozen=True)
class Answers:
    """What a model says of images under one input."""

    logits: NDArray[np.float64]
    """(images, classes); their softmax are probabilities."""
    outputs: NDArray[np.int64]
    """The highest output of each image, (images,); -1 where there is none."""

    @classmethod
    def of(cls, scores: NDArray[np.float32]) -> Answers:
        """
        Args:
            scores: (images, classes), logits or probabilities. An input far from the right one can
                overflow: a row that is not finite names no class.
        """
        import numpy as np

        logits = np.zeros(scores.shape)
        finite = np.isfinite(scores).all(axis=1)
        if finite.any():
            said = scores[finite].astype(float)
            is_logits = meaning_of(scores[finite]) == "logits"
            logits[finite] = said if is_logits else np.log(np.clip(said, 1e-12, None))
        return cls(logits, np.where(finite, logits.argmax(axis=1), -1))


Answered = dict[Input, Answers]


@dataclass(frozen=True)
class Evaluated:
    """A claim, judged on all images."""

    claim: Claim
    right: NDArray[np.bool_]
    logits: NDArray[np.float64]
    wanted: NDArray[np.int64]
    """The right output of each image, (images,)."""

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Log-loss of each image, in nats."""
        import numpy as np
        from scipy.special import log_softmax

        every = np.arange(len(self.wanted))
        return np.asarray(-log_softmax(self.logits, axis=1)[every, self.wanted])


def choose(
    answered: Answered, labels: NDArray[np.int64], declared: Claim, classes: int
) -> tuple[Claim, Verdict]:
    """The claim that fits best, and whether it fits better than the declared one.

    The best of many claims is flattered by the images it was chosen on. So each half of the images
    is judged by what was chosen on the other half, and the verdict is about these.
    """
    import numpy as np

    first = np.zeros(len(labels), bool)
    for label in range(classes):  # calibration images come class by class in turn
        first[np.flatnonzero(labels == label)[::2]] = True
    now = evaluate(answered, labels, declared, classes)

    right = np.zeros(len(labels), bool)
    for half in (first, ~first):
        chosen = _most_right(_candidates(answered, labels, classes, half), declared, half)
        right[~half] = chosen.right[~half]
    verdict = stats.paired_accuracy(now.right, right).verdict
    if verdict is not Verdict.BETTER:
        return declared, verdict
    found = _candidates(answered, labels, classes)
    best = _nearest(found, declared, _most_right(found, declared), _as_right)
    # A second mistake hardly shows where the first one mended makes all images right.
    found = [one for one in found if one.claim.reordered == best.claim.reordered]
    if more := _surer(found, best):
        surest = min(more, key=lambda one: one.losses.mean())
        best = _nearest(more, declared, surest, _as_sure)
    return best.claim, verdict


def undecided(
    answered: Answered, labels: NDArray[np.int64], claim: Claim, classes: int
) -> list[str]:
    """The ranges and orders that serve no worse than a claim's, as far as the images tell.

    Not fits: on pictures near the model's shape they all come to the same.
    """
    now, others = _with_others(answered, labels, claim, classes)
    return [
        input_words(other.claim, claim)
        for other in others
        if other.claim.fit == claim.fit
        and _as_right(now, other)
        and stats.paired_mean(other.losses, now.losses).verdict is not Verdict.BETTER
    ]


def surer(
    answered: Answered, labels: NDArray[np.int64], claim: Claim, classes: int
) -> dict[str, float]:
    """The mean log-loss, in nats, under the inputs with which a model is surer of the right classes
    than under a claim's."""
    now, others = _with_others(answered, labels, claim, classes)
    return {
        input_words(other.claim, claim): float(other.losses.mean()) for other in _surer(others, now)
    }


def surest(
    answered: Answered, labels: NDArray[np.int64], claim: Claim, classes: int
) -> Claim | None:
    """Of those that `surer` tells, the one of the lowest log-loss."""
    now, others = _with_others(answered, labels, claim, classes)
    found = min(_surer(others, now), key=lambda one: one.losses.mean(), default=None)
    return found.claim if found else None


def input_words(claim: Claim, than: Claim) -> str:
    """What differs.

    >>> input_words(Claim("0..1", "bgr", "pad"), Claim("-1..1", "rgb", "pad"))
    '0..1 in bgr'
    """
    order = f" in {claim.channels}" if claim.channels != than.channels else ""
    if claim.fit == than.fit:
        return claim.range + order
    same_range = claim.range == than.range and not order
    return f"fit {claim.fit}" if same_range else f"{claim.range}{order}, fit {claim.fit}"


def evaluate(
    answered: Answered,
    labels: NDArray[np.int64],
    claim: Claim,
    classes: int,
    part: NDArray[np.bool_] | slice = EVERY,
) -> Evaluated:
    """
    Args:
        part: (images,), those that tell the order of the classes if the claim is of another.
    """
    import numpy as np

    answers = answered[claim.input]
    order = np.arange(classes)
    if claim.reordered:
        order = assign(answers.outputs[part], labels[part], classes)
    wanted = np.argsort(order)[labels]  # the output that stands for each image's class
    return Evaluated(claim, answers.outputs == wanted, answers.logits, wanted)


def assign(
    outputs: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """The class that each output stands for, one each, so that most images are right."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((classes, classes))
    named = outputs >= 0
    np.add.at(counts, (outputs[named], labels[named]), 1)
    # Where the images do not tell, an output keeps its place.
    order: NDArray[np.int64] = linear_sum_assignment(counts + 0.5 * np.eye(classes), maximize=True)[
        1
    ]
    return order


def _candidates(
    answered: Answered,
    labels: NDArray[np.int64],
    classes: int,
    part: NDArray[np.bool_] | slice = EVERY,
) -> list[Evaluated]:
    claims = (Claim(*input, reordered) for input in answered for reordered in (False, True))
    return [evaluate(answered, labels, claim, classes, part) for claim in claims]


def _most_right(
    found: list[Evaluated], declared: Claim, part: NDArray[np.bool_] | slice = EVERY
) -> Evaluated:
    """Of equals the nearest to the declared one."""
    return max(found, key=lambda one: (one.right[part].sum(), -one.claim.changes(declared)))


def _nearest(
    found: list[Evaluated],
    declared: Claim,
    best: Evaluated,
    is_equal: Callable[[Evaluated, Evaluated], bool],
) -> Evaluated:
    """The claim with the fewest changes that the images do not tell from the best one: nobody is
    told to change what need not be changed."""
    equal = [one for one in found if is_equal(best, one)]
    return min(equal, key=lambda one: (one.claim.changes(declared), one.losses.mean()))


def _with_others(
    answered: Answered, labels: NDArray[np.int64], claim: Claim, classes: int
) -> tuple[Evaluated, list[Evaluated]]:
    others = [Claim(*given, claim.reordered) for given in answered if given != claim.input]
    now, *rest = (evaluate(answered, labels, c, classes) for c in (claim, *others))
    return now, rest


def _surer(found: list[Evaluated], than: Evaluated) -> list[Evaluated]:
    """Those under which no fewer images are right, and the log-loss is lower."""
    as_many = (one for one in found if one.right.sum() >= than.right.sum())
    return [one for one in as_many if _is_lower(one.losses, than.losses)]


def _as_right(best: Evaluated, other: Evaluated) -> bool:
    return stats.paired_accuracy(best.right, other.right).verdict is not Verdict.WORSE


def _as_sure(best: Evaluated, other: Evaluated) -> bool:
    return not _is_lower(best.losses, other.losses)


def _is_lower(losses: NDArray[np.float64], than: NDArray[np.float64]) -> bool:
    change = stats.paired_mean(than, losses)
    return change.verdict is Verdict.BETTER and change.drop > LEAST_LOSS
