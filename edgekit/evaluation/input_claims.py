"""Which declaration of a model's input fits labelled images best.

A declaration is a range, an order of channels, a fit and an order of classes. Top-1 decides first.
Where every image is right under two inputs, or nearly, the log-loss decides: a model that sees what
it was trained on is surer of the right class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgekit import stats
from edgekit.data.framing import Fit
from edgekit.evaluation.score_meaning import meaning_of
from edgekit.evidence import Verdict
from edgekit.models.source import Channels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_TEMPERATURE = 1 / 4
MOST_TEMPERATURE = 1e4
"""How far from the labels the sureness of a rightly used model may be: label smoothing and mixup
make it up to four times too unsure, overfitting too sure by any factor. That is no mistake of the
recipe's."""
LEAST_LOSS = 0.1
"""Nats by which a mean log-loss has to fall before a recipe is called wrong."""

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

    @classmethod
    def of(cls, scores: NDArray[np.float32]) -> Answers:
        """
        Args:
            scores: (images, classes), logits or probabilities. An input far from the right one can
                overflow: a row that is not finite says nothing of its image.
        """
        import numpy as np

        logits = np.zeros(scores.shape)
        finite = np.isfinite(scores).all(axis=1)
        if finite.any():
            said = scores[finite].astype(float)
            is_logits = meaning_of(scores[finite]) == "logits"
            logits[finite] = said if is_logits else np.log(np.clip(said, 1e-12, None))
        return cls(logits)

    @property
    def outputs(self) -> NDArray[np.int64]:
        """The highest output of each image, (images,)."""
        best: NDArray[np.int64] = self.logits.argmax(axis=1)
        return best


Answered = dict[Input, Answers]


@dataclass(frozen=True)
class Evaluated:
    """A claim, judged on all images."""

    claim: Claim
    right: NDArray[np.bool_]
    losses: NDArray[np.float64]
    """Log-loss of each image in nats, at the temperature that suits the claim best."""


def choose(
    answered: Answered, labels: NDArray[np.int64], declared: Claim, classes: int
) -> tuple[Claim, Verdict]:
    """The claim that fits best, and whether it fits better than the declared one.

    The best of many claims is flattered by the images it was chosen on. So each half of the images
    is judged by what was chosen on the other half, and the verdict is about these.
    """
    import numpy as np

    everything = np.ones(len(labels), bool)
    first = np.zeros(len(labels), bool)
    for label in range(classes):  # calibration images come class by class in turn
        first[np.flatnonzero(labels == label)[::2]] = True
    halves = (first, ~first)
    now = evaluate(answered, labels, declared, classes, everything)

    right = np.zeros(len(labels), bool)
    for half in halves:
        chosen = _most_right(_candidates(answered, labels, declared, classes, half), declared, half)
        right[~half] = chosen.right[~half]
    verdict = stats.paired_accuracy(now.right, right).verdict
    best = now
    if verdict is Verdict.BETTER:
        found = _candidates(answered, labels, declared, classes, everything)
        best = _nearest(found, declared, _most_right(found, declared, everything), _as_right)

    # With every image right, or nearly, only the losses still tell one input from another.
    found = [
        evaluate(answered, labels, Claim(*input, best.claim.reordered), classes, everything)
        for input in answered
    ]
    found = [one for one in found if _as_right(best, one)]
    losses = np.zeros(len(labels))
    for half in halves:
        losses[~half] = min(found, key=lambda one: one.losses[half].mean()).losses[~half]
    if not _is_lower(losses, best.losses):
        return best.claim, verdict
    surest = min(found, key=lambda one: one.losses.mean())
    return _nearest(found, declared, surest, _as_sure).claim, Verdict.BETTER


def undecided(
    answered: Answered, labels: NDArray[np.int64], claim: Claim, classes: int
) -> list[str]:
    """The ranges and orders that serve no worse than a claim's, as far as the images tell.

    Not fits: on pictures near the model's shape they all come to the same.
    """
    import numpy as np

    everything = np.ones(len(labels), bool)
    now = evaluate(answered, labels, claim, classes, everything)
    others = [
        evaluate(
            answered, labels, replace(claim, range=range_, channels=channels), classes, everything
        )
        for range_, channels, fit in answered
        if fit == claim.fit and (range_, channels) != claim.input[:2]
    ]
    return [
        f"{o.claim.range}"
        + (f" in {o.claim.channels}" if o.claim.channels != claim.channels else "")
        for o in others
        if _as_right(now, o)
        and stats.paired_mean(o.losses, now.losses).verdict is not Verdict.BETTER
    ]


def evaluate(
    answered: Answered,
    labels: NDArray[np.int64],
    claim: Claim,
    classes: int,
    part: NDArray[np.bool_],
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
    return Evaluated(claim, answers.outputs == wanted, log_losses(answers.logits, wanted))


def log_losses(logits: NDArray[np.float64], wanted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-loss of each image in nats, at the temperature that makes the mean least
    (Guo et al. 2017), from LEAST_TEMPERATURE to MOST_TEMPERATURE.

    Args:
        logits: (images, classes).
        wanted: (images,), the right output of each.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def at(log_temperature: float) -> NDArray[np.float64]:
        told = log_softmax(logits / np.exp(log_temperature), axis=1)
        return np.asarray(-told[np.arange(len(wanted)), wanted])

    bounds = np.log([LEAST_TEMPERATURE, MOST_TEMPERATURE])
    found = minimize_scalar(lambda t: at(t).mean(), bounds=bounds, method="bounded")
    return at(float(found.x))


def assign(
    outputs: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """The class that each output stands for, one each, so that most images are right."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((classes, classes))
    np.add.at(counts, (outputs, labels), 1)
    # Where the images do not tell, an output keeps its place.
    order: NDArray[np.int64] = linear_sum_assignment(counts + 0.5 * np.eye(classes), maximize=True)[
        1
    ]
    return order


def _candidates(
    answered: Answered,
    labels: NDArray[np.int64],
    declared: Claim,
    classes: int,
    part: NDArray[np.bool_],
) -> list[Evaluated]:
    claims = (Claim(*input, reordered) for input in answered for reordered in (False, True))
    return [evaluate(answered, labels, claim, classes, part) for claim in claims]


def _most_right(found: list[Evaluated], declared: Claim, part: NDArray[np.bool_]) -> Evaluated:
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


def _as_right(best: Evaluated, other: Evaluated) -> bool:
    return stats.paired_accuracy(best.right, other.right).verdict is not Verdict.WORSE


def _as_sure(best: Evaluated, other: Evaluated) -> bool:
    return not _is_lower(best.losses, other.losses)


def _is_lower(losses: NDArray[np.float64], than: NDArray[np.float64]) -> bool:
    change = stats.paired_mean(than, losses)
    return change.verdict is Verdict.BETTER and change.drop > LEAST_LOSS
