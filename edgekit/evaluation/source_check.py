"""Is a model from elsewhere what the recipe says of it? Asked of real images, before the build.

A wrong channel order, input range, fit or class order gives a file that runs, is as fast and as
small as the right one, and classifies badly. So what is declared is compared with the usual
alternatives on images of the training split.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from edgekit.agent.agent import prepare
from edgekit.data.framing import FITS, Fit
from edgekit.data.labels import yaml_list
from edgekit.engine.action import Action, Context, Inputs, Progress
from edgekit.engine.artifact import Json, Metadata
from edgekit.engine.confinement import Confinement
from edgekit.errors import InputError
from edgekit.evaluation import input_claims
from edgekit.evaluation.input_claims import (
    Answered,
    Answers,
    Claim,
    Evaluated,
    Input,
    assign,
    choose,
    evaluate,
    surer,
    undecided,
)
from edgekit.evidence import Verdict
from edgekit.models import foreign, timm_models
from edgekit.models.card import Card
from edgekit.models.source import RANGES, Channels, ModelSource, Triple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGES = 160
"""Of the training split; enough to tell 2 % of errors from 10 %."""


class SourceCheckMetadata(Metadata):
    """What the images said of the declared input."""

    images: int
    right: float
    """Share of them that the model classifies rightly with it."""
    loss: float
    """The mean log-loss, in nats."""
    undecided: tuple[str, ...]
    """Other inputs that would do no worse, as far as the images tell."""
    surer: dict[str, float] = Field(default_factory=dict)
    """Other inputs under which no fewer images are right, and the log-loss is lower."""
    surest: str | None = None
    """What to write into the recipe if the model was trained on the surest of them."""
    fits: dict[Fit, float] = Field(default_factory=dict)
    """The share with each fit, the rest as declared."""


class CheckSource(Action):
    """Compare the declared input and class order with the alternatives, on labelled images."""

    version = 7

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self.name = Path(source.weights).name

    def used_libraries(self) -> tuple[str, ...]:
        return (*foreign.libraries(self.source.format), "numpy", "scipy")

    def settings(self) -> Json:
        return {"name": self.name, "ranges": RANGES}

    def confinement(self, inputs: Inputs) -> Confinement | None:
        return foreign.confinement_of(self.source)

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
        ask = Asker(foreign.scorer(model, card), card, declared, images, context.progress)
        best, verdict = self._choose(ask, images, labels, declared, len(card.classes))
        now, then = (
            evaluate(ask.answered, labels, claim, len(card.classes)) for claim in (declared, best)
        )
        if verdict is Verdict.BETTER:
            order = assign(ask.answered[best.input].outputs, labels, len(card.classes))
            alike = undecided(ask.answered, labels, best, len(card.classes))
            raise _mismatch(self.name, card, now, then, order, alike)
        surest = input_claims.surest(ask.answered, labels, declared, len(card.classes))
        return SourceCheckMetadata(
            images=len(labels),
            right=float(now.right.mean()),
            loss=float(now.losses.mean()),
            undecided=tuple(undecided(ask.answered, labels, declared, len(card.classes))),
            surer=surer(ask.answered, labels, declared, len(card.classes)),
            surest=_to_write(card, declared, surest) if surest else None,
            fits={
                fit: float(np.mean(ask.answered[(*declared.input[:2], fit)].outputs == labels))
                for fit in images
            },
        )

    @staticmethod
    def _choose(
        ask: Asker,
        fits: Iterable[Fit],
        labels: NDArray[np.int64],
        declared: Claim,
        classes: int,
    ) -> tuple[Claim, Verdict]:
        """Each fit is tried with the declared range and order, and with those that serve best: all
        of them together would take twice as long."""
        ask((*pair, declared.fit) for pair in itertools.product(ask.ranges, ask.orders))
        ask((*declared.input[:2], fit) for fit in fits)
        best, verdict = choose(ask.answered, labels, declared, classes)
        if verdict is Verdict.BETTER:
            ask((*best.input[:2], fit) for fit in fits)
            best, _ = choose(ask.answered, labels, declared, classes)
        return best, verdict


class Asker:
    """Has a model classify images under one input after another; none is asked twice.

    Args:
        images: uint8 RGB, (images, height, width, 3), by their fit.
    """

    def __init__(
        self,
        score: foreign.Scorer,
        card: Card,
        declared: Claim,
        images: dict[Fit, NDArray[np.uint8]],
        progress: Progress,
    ) -> None:
        self.score = score
        self.declared = declared
        self.images = images
        self.progress = progress
        self.ranges: dict[str, tuple[Triple, Triple]] = {
            declared.range: (card.mean, card.std),
            **RANGES,
        }
        # Grey has no order.
        self.orders: tuple[Channels, ...] = (
            ("grey",) if declared.channels == "grey" else ("rgb", "bgr")
        )
        self.answered: Answered = {}

    def __call__(self, inputs: Iterable[Input]) -> None:
        new = [input for input in inputs if input not in self.answered]
        for i, (name, channels, fit) in enumerate(new, start=1):
            mean, std = self.ranges[name]
            x = prepare(self.images[fit], {"dtype": "float32", "mean": mean, "std": std})
            # The model was made to take RGB from what the recipe says that its file takes.
            x = x if channels == self.declared.channels else x[..., ::-1].copy()
            self.answered[name, channels, fit] = Answers.of(self.score(x))
            self.progress(i, len(new), "compare input ranges, channel orders and fits")


def _declared(card: Card) -> Claim:
    same = (name for name, value in RANGES.items() if value == (card.mean, card.std))
    return Claim(next(same, "mean and std"), card.channels, card.fit)


def _mismatch(
    name: str,
    card: Card,
    now: Evaluated,
    then: Evaluated,
    order: NDArray[np.int64],
    alike: list[str],
) -> InputError:
    """
    Args:
        alike: other inputs that the images do not tell from the best.
    """
    declared, best = now.claim, then.claim
    lines = _model_lines(card, declared, best, order)
    differences = [*lines, *([f"fit {best.fit}"] if best.fit != declared.fit else [])]
    return InputError(
        f"model.weights: {name} is not what the recipe says of it: declared "
        f"({_claim_text(declared, card)}) it classifies {100 * now.right.mean():.1f} % of "
        f"{len(now.right)} training images rightly, with a log-loss of {now.losses.mean():.3f}; "
        f"with {' and '.join(differences)} {100 * then.right.mean():.1f} %, "
        f"with a log-loss of {then.losses.mean():.3f}"
        + (f"; the images do not tell {', '.join(alike)} from it" if alike else ""),
        hint=_advice(card, declared, best, list(lines.values())),
    )


def _to_write(card: Card, declared: Claim, claim: Claim) -> str:
    import numpy as np

    lines = _model_lines(card, declared, claim, np.arange(len(card.classes)))
    return _advice(card, declared, claim, [*lines.values()])


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
