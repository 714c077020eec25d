"""Is a model from elsewhere what the recipe says of it? Asked of real images, before the build.

A wrong channel order, input range, fit or class order gives a file that runs, is as fast and as
small as the right one, and classifies badly. So what is declared is compared with the usual
alternatives on images of the training split.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from edgekit import stats
from edgekit.agent.agent import prepare
from edgekit.data.framing import FITS, Fit
from edgekit.data.labels import yaml_list
from edgekit.engine.action import Action, Context, Inputs, Progress
from edgekit.engine.artifact import Json, Metadata
from edgekit.engine.confinement import Confinement
from edgekit.errors import InputError
from edgekit.evidence import Verdict
from edgekit.models import foreign, timm_models
from edgekit.models.card import Card
from edgekit.models.source import RANGES, Channels, Format, Triple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGES = 160
"""Of the training split; enough to tell 2 % of errors from 10 %."""


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


class SourceCheckMetadata(Metadata):
    """What the images said of the declared input."""

    images: int
    right: float
    """Share of them that the model classifies rightly with it."""
    undecided: tuple[str, ...]
    """Other inputs that would do no worse, as far as the images tell."""
    fits: dict[Fit, float] = Field(default_factory=dict)
    """The share with each fit, the rest as declared."""


class CheckSource(Action):
    """Compare the declared input and class order with the alternatives, on labelled images."""

    version = 4

    def __init__(self, format: Format, name: str) -> None:
        self.format = format
        self.name = name

    def used_libraries(self) -> tuple[str, ...]:
        return (*foreign.libraries(self.format), "numpy", "scipy")

    def settings(self) -> Json:
        return {"name": self.name, "ranges": RANGES}

    def confinement(self, inputs: Inputs) -> Confinement | None:
        return foreign.confinement_of(inputs["model"])

    def run(self, inputs: Inputs, into: Path, context: Context) -> SourceCheckMetadata:
        import numpy as np

        model, card = timm_models.restore(inputs["model"])
        images = {
            fit: np.load(inputs[role].file("images.npy"))
            for fit, role in ((fit, "images" if fit == card.fit else fit) for fit in FITS)
            if role in inputs
        }
        labels = np.load(inputs["images"].file("labels.npy"))
        declared = _declared(card)
        predicted = _predict(foreign.scorer(model, card), card, declared, images, context.progress)
        best, verdict = choose(predicted, labels, declared, len(card.classes))
        order = assign(predicted[best.input], labels, len(card.classes))
        right = {
            claim: float(np.mean(_right(predicted, labels, claim, order)))
            for claim in (declared, best)
        }
        if verdict is Verdict.BETTER:
            raise _mismatch(self.name, card, declared, best, order, right, len(labels))
        return SourceCheckMetadata(
            images=len(labels),
            right=right[declared],
            undecided=tuple(undecided(predicted, labels, declared)),
            fits={
                fit: float(np.mean(predicted[declared.range, declared.channels, fit] == labels))
                for fit in images
            },
        )


Input = tuple[str, Channels, Fit]
Predicted = dict[Input, Any]
"""The class of each image, int64 (images,), by input range, channel order and fit."""


def _declared(card: Card) -> Claim:
    same = (name for name, value in RANGES.items() if value == (card.mean, card.std))
    return Claim(next(same, "mean and std"), card.channels, card.fit)


def _predict(
    score: foreign.Scorer,
    card: Card,
    declared: Claim,
    images: dict[Fit, NDArray[np.uint8]],
    progress: Progress,
) -> Predicted:
    ranges: dict[str, tuple[Triple, Triple]] = {declared.range: (card.mean, card.std), **RANGES}
    # Grey has no order.
    orders: tuple[Channels, ...] = ("grey",) if declared.channels == "grey" else ("rgb", "bgr")
    predicted: Predicted = {}
    # Another fit is tried with the declared range and order alone, to keep the wait short.
    tried = [(*pair, declared.fit) for pair in itertools.product(ranges, orders)]
    tried += [(*declared.input[:2], fit) for fit in images if fit != declared.fit]
    for i, (name, channels, fit) in enumerate(tried, start=1):
        mean, std = ranges[name]
        x = prepare(images[fit], {"dtype": "float32", "mean": mean, "std": std})
        # The model was made to take RGB from what the recipe says that its file takes.
        x = x if channels == declared.channels else x[..., ::-1].copy()
        predicted[name, channels, fit] = score(x).argmax(axis=1)
        progress(i, len(tried), "compare input ranges, channel orders and fits")
    return predicted


def choose(
    predicted: Predicted, labels: NDArray[np.int64], declared: Claim, classes: int
) -> tuple[Claim, Verdict]:
    """The claim that fits best, and whether it fits better than the declared one (pure).

    The best of many claims is flattered by the images it was chosen on. So each half of the images
    is judged by what was chosen on the other half, and the verdict is about these.
    """
    import numpy as np

    first = np.zeros(len(labels), bool)
    for label in range(classes):  # calibration images come class by class in turn
        first[np.flatnonzero(labels == label)[::2]] = True
    right = np.zeros(len(labels), bool)
    for half in (first, ~first):
        chosen, order = _best(predicted, labels, declared, classes, half)
        right[~half] = _right(predicted, labels, chosen, order)[~half]
    before = predicted[declared.input] == labels
    best, _ = _best(predicted, labels, declared, classes, np.ones(len(labels), bool))
    return best, stats.paired_accuracy(before, right).verdict


def undecided(predicted: Predicted, labels: NDArray[np.int64], declared: Claim) -> list[str]:
    """The ranges and orders that classify no worse than the declared one, as far as the images tell
    (pure). Not fits: on pictures near the model's shape they all come to the same."""
    declared_right = predicted[declared.input] == labels
    return [
        name if channels == declared.channels else f"{name} in {channels}"
        for (name, channels, fit), outputs in predicted.items()
        if fit == declared.fit
        and (name, channels, fit) != declared.input
        and stats.paired_accuracy(declared_right, outputs == labels).verdict is not Verdict.WORSE
    ]


def _best(
    predicted: Predicted,
    labels: NDArray[np.int64],
    declared: Claim,
    classes: int,
    part: NDArray[np.bool_],
) -> tuple[Claim, NDArray[np.int64]]:
    """The claim under which most images of a part are right; of equals the nearest to the
    declared one. With it the class of each of the model's outputs."""
    found = []
    for input, outputs in predicted.items():
        order = assign(outputs[part], labels[part], classes)
        for reordered in (False, True):
            claim = Claim(*input, reordered)
            right = int(_right(predicted, labels, claim, order)[part].sum())
            found.append(((right, -claim.changes(declared)), claim, order))
    _, claim, order = max(found, key=lambda entry: entry[0])
    return claim, order


def _right(
    predicted: Predicted, labels: NDArray[np.int64], claim: Claim, order: NDArray[np.int64]
) -> NDArray[np.bool_]:
    outputs = predicted[claim.input]
    right: NDArray[np.bool_] = (order[outputs] if claim.reordered else outputs) == labels
    return right


def assign(
    outputs: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """The class that each output stands for, one each, so that most images are right (pure)."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((classes, classes))
    np.add.at(counts, (outputs, labels), 1)
    # Where the images do not tell, an output keeps its place.
    order: NDArray[np.int64] = linear_sum_assignment(counts + 0.5 * np.eye(classes), maximize=True)[
        1
    ]
    return order


def _mismatch(
    name: str,
    card: Card,
    declared: Claim,
    best: Claim,
    order: NDArray[np.int64],
    right: dict[Claim, float],
    images: int,
) -> InputError:
    lines = _model_lines(card, declared, best, order)
    differences = [*lines, *([f"fit {best.fit}"] if best.fit != declared.fit else [])]
    return InputError(
        f"model.weights: {name} is not what the recipe says of it: declared "
        f"({_claim_text(declared, card)}) it classifies {100 * right[declared]:.1f} % of {images} "
        f"training images rightly; with {' and '.join(differences)} {100 * right[best]:.1f} %",
        hint=_advice(card, declared, best, list(lines.values())),
    )


def _model_lines(
    card: Card, declared: Claim, best: Claim, order: NDArray[np.int64]
) -> dict[str, str]:
    """What the recipe's model section should say, a line by each difference in words."""
    lines = {}
    if best.range != declared.range:
        lines[f"input range {best.range}"] = f"input_range: {best.range}"
    if best.channels != declared.channels:
        lines[f"channels {best.channels}"] = f"channels: {best.channels}"
    if best.reordered:
        names = yaml_list([card.classes[i] for i in order])
        lines["the classes in another order"] = f"classes: {names}"
    return lines


def _advice(card: Card, declared: Claim, best: Claim, model_lines: list[str]) -> str:
    if best.channels != declared.channels and card.format == "torch":
        return "timm models take RGB: reverse the input channels of the first layer's weights"
    instead = ", without mean and std," if best.range != declared.range else ""
    told = (" " if len(model_lines) == 1 else "\n  ") + "\n  ".join(model_lines)
    model = f"in the recipe's model section{instead} write{told}"
    if best.fit == declared.fit:
        return model
    instead = ", without crop_pct," if card.crop_pct < 1 else ""
    fit = f"in the recipe's data section{instead} write fit: {best.fit}"
    return f"{fit}\n{model}" if model_lines else fit


def _claim_text(declared: Claim, card: Card) -> str:
    classes = ", ".join(card.classes[:5]) + (", ..." if len(card.classes) > 5 else "")
    return (
        f"input range {_range_text(declared, card)}, channels {declared.channels}, "
        f"fit {declared.fit}, classes {classes}"
    )


def _range_text(declared: Claim, card: Card) -> str:
    if declared.range in RANGES:
        return declared.range
    return f"mean {list(card.mean)}, std {list(card.std)}"
