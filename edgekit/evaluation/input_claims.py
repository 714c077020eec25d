"""Which declaration of a model's input fits labelled images best.

A declaration is a range, an order of channels, a way to the model's size and an order of classes.
Top-1 alone proves a recipe wrong. Where every image is right under two inputs, only the log-loss
tells them apart: a model that sees what it was trained on is surer of the right class. But a larger
range makes a model surer too, above all one that was trained for a few epochs; so that is told, and
stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from edgekit import stats
from edgekit.data.framing import Way
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


class Input(NamedTuple):
    """What a model can be given of a picture."""

    range: str
    """A key of RANGES, or `mean and std` for what the recipe gives in numbers."""
    channels: Channels
    way: Way = Way()


@dataclass(frozen=True)
class Claim:
    """What a recipe may say of a model's input, and whether the classes are in another order."""

    range: str
    channels: Channels
    way: Way = field(default_factory=Way)
    reordered: bool = False

    @property
    def input(self) -> Input:
        return Input(self.range, self.channels, self.way)

    def changes(self, declared: Claim) -> int:
        here = (self.range, self.channels, *self.way)
        there = (declared.range, declared.channels, *declared.way)
        return self.reordered + sum(own != other for own, other in zip(here, there, strict=True))

    def halves(self, declared: Claim) -> tuple[Claim, ...]:
        """Its range and order alone, and its way alone, where it changes both."""
        if self.way == declared.way or self.input[:2] == declared.input[:2]:
            return ()
        return replace(self, way=declared.way), replace(
            self, range=declared.range, channels=declared.channels
        )


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


def likeliest(
    answered: Answered, labels: NDArray[np.int64], declared: Claim, classes: int
) -> Claim:
    """The claim under which most images are right, whether or not that proves anything. An order of
    classes is not looked for: among few right images chance finds one."""
    found = _candidates(answered, labels, classes)
    kept = [one for one in found if one.claim.reordered == declared.reordered]
    return _most_right(kept, declared).claim


def is_guessing(answered: Answered, labels: NDArray[np.int64]) -> bool:
    """Whether under no input more images are right than naming the commonest class would have."""
    import numpy as np

    right = max(int((answers.outputs == labels).sum()) for answers in answered.values())
    commonest = float(np.bincount(labels).max()) / len(labels)
    return stats.exceeds(right, len(labels), commonest) >= 1 - stats.CONFIDENCE


def no_worse(
    answered: Answered, labels: NDArray[np.int64], claim: Claim, classes: int
) -> list[Evaluated]:
    """Other inputs that serve no worse than a claim's, as far as the images tell; best first.

    Of other ways to the model's size, those alone with which the model is surer: on pictures near
    the model's shape they all come to the same.
    """
    others = [Claim(*given, claim.reordered) for given in answered if given != claim.input]
    now, *rest = (evaluate(answered, labels, one, classes) for one in (claim, *others))
    surer = {one.claim for one in _surer(rest, now)}
    found = [
        one
        for one in rest
        if one.claim in surer or (one.claim.way == claim.way and _serves_as_well(one, now))
    ]
    return sorted(found, key=rank)


def rank(one: Evaluated) -> tuple[int, float]:
    """The best first: by right images, then by log-loss."""
    return -int(one.right.sum()), float(one.losses.mean())


def is_surer(one: Evaluated, than: Evaluated) -> bool:
    """No fewer images are right, and the log-loss is lower."""
    return bool(_surer([one], than))


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


def _surer(found: list[Evaluated], than: Evaluated) -> list[Evaluated]:
    """Those under which no fewer images are right, and the log-loss is lower."""
    as_many = (one for one in found if one.right.sum() >= than.right.sum())
    return [one for one in as_many if _is_lower(one.losses, than.losses)]


def _serves_as_well(one: Evaluated, now: Evaluated) -> bool:
    is_as_sure = stats.paired_mean(one.losses, now.losses).verdict is not Verdict.BETTER
    return _as_right(now, one) and is_as_sure


def _as_right(best: Evaluated, other: Evaluated) -> bool:
    return stats.paired_accuracy(best.right, other.right).verdict is not Verdict.WORSE


def _as_sure(best: Evaluated, other: Evaluated) -> bool:
    return not _is_lower(best.losses, other.losses)


def _is_lower(losses: NDArray[np.float64], than: NDArray[np.float64]) -> bool:
    change = stats.paired_mean(than, losses)
    return change.verdict is Verdict.BETTER and change.drop > LEAST_LOSS
