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

from pydantic import BaseModel, ConfigDict, Field

from edgekit.agent.agent import prepare
from edgekit.data.framing import Fit, Way
from edgekit.engine.action import Action, Context, Inputs, Progress
from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.engine.confinement import Confinement
from edgekit.evaluation import input_advice
from edgekit.evaluation.input_advice import BetterInput
from edgekit.evaluation.input_claims import (
    Answered,
    Answers,
    Claim,
    Evaluated,
    Input,
    assign,
    choose,
    evaluate,
    is_guessing,
    is_surer,
    likeliest,
    no_worse,
    rank,
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


class OtherInput(BaseModel):
    """An input that serves no worse than the declared one, as far as the images tell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: str
    """What differs."""
    right: float
    loss: float
    """The mean log-loss, in nats."""
    surer: bool
    """The log-loss is lower for sure."""


class SourceCheckMetadata(Metadata):
    """What the images said of the declared input.

    Where another one is better, that is no error of the check: who builds stops for it, and who
    writes a recipe takes it.
    """

    images: int
    right: float
    """Share of them that the model classifies rightly with it."""
    loss: float
    """The mean log-loss, in nats."""
    others: tuple[OtherInput, ...] = ()
    """Best first."""
    best_lines: str | None = None
    """What to write into the recipe for the first of them, where that is better than the recipe."""
    fits: dict[Fit, float] = Field(default_factory=dict)
    """The share with each fit, the rest as declared."""
    guesses: bool = False
    """Under no input more images are right than naming the commonest class would have."""
    better: BetterInput | None = None


class CheckSource(Action):
    """Compare the declared input and class order with the alternatives, on labelled images."""

    version = 9

    def __init__(self, source: ModelSource, ways: tuple[Way, ...]) -> None:
        """
        Args:
            ways: to the model's size, besides the declared one; the images have them all.
        """
        self.source = source
        self.ways = ways
        self.name = Path(source.weights).name

    def used_libraries(self) -> tuple[str, ...]:
        return (*foreign.libraries(self.source.format), "numpy", "scipy")

    def settings(self) -> Json:
        return {"name": self.name, "ranges": RANGES, "ways": [list(way) for way in self.ways]}

    def confinement(self, inputs: Inputs) -> Confinement | None:
        return foreign.confinement_of(self.source)

    def run(self, inputs: Inputs, into: Path, context: Context) -> SourceCheckMetadata:
        import numpy as np

        model, card = timm_models.restore(inputs["model"])
        labels = np.load(inputs["images"].file("labels.npy"))
        declared, classes = _declared(card), len(card.classes)
        images = _different(inputs["images"], declared.way, self.ways)
        ask = Asker(foreign.scorer(model, card), card, declared, images, context.progress)
        best, verdict = self._choose(ask, labels, declared, classes)

        def judged(claim: Claim) -> Evaluated:
            return evaluate(ask.answered, labels, claim, classes)

        now = judged(declared)
        advice = input_advice.Advice(self.source, card, declared)
        better = None
        if verdict is Verdict.BETTER:
            better = advice.better(
                now,
                judged(best),
                assign(ask.answered[best.input].outputs, labels, classes).tolist(),
                [judged(claim) for claim in best.halves(declared)],
                no_worse(ask.answered, labels, best, classes),
            )
        found = no_worse(ask.answered, labels, declared, classes)
        is_better = found and rank(found[0]) < rank(now)
        fits = [way for way in images if way == declared.way._replace(fit=way.fit)]
        return SourceCheckMetadata(
            images=len(labels),
            right=float(now.right.mean()),
            loss=float(now.losses.mean()),
            others=tuple(
                OtherInput(
                    words=input_advice.input_words(one.claim, declared),
                    right=float(one.right.mean()),
                    loss=float(one.losses.mean()),
                    surer=is_surer(one, now),
                )
                for one in found
            ),
            best_lines=advice.lines(found[0].claim) if is_better else None,
            fits={
                way.fit: float(judged(Claim(*declared.input[:2], way)).right.mean()) for way in fits
            },
            guesses=is_guessing(ask.answered, labels),
            better=better,
        )

    @staticmethod
    def _choose(
        ask: Asker, labels: NDArray[np.int64], declared: Claim, classes: int
    ) -> tuple[Claim, Verdict]:
        """First every range and order, then every way with the declared ones and with the best:
        a wrong range hides a wrong fit. All with all take several times as long, and are tried
        where the model has said nothing but what guessing would."""
        ask(Input(*pair, declared.way) for pair in itertools.product(ask.ranges, ask.orders))
        best = likeliest(ask.answered, labels, declared, classes)
        ask(Input(*one.input[:2], way) for one in (declared, best) for way in ask.images)
        if is_guessing(ask.answered, labels):
            pairs = itertools.product(ask.ranges, ask.images)
            ask(Input(name, declared.channels, way) for name, way in pairs)
        best, verdict = choose(ask.answered, labels, declared, classes)
        if verdict is Verdict.BETTER:
            ask(Input(*best.input[:2], way) for way in ask.images)
            best, _ = choose(ask.answered, labels, declared, classes)
        return best, verdict


def _different(
    images: Artifact, declared: Way, ways: tuple[Way, ...]
) -> dict[Way, NDArray[np.uint8]]:
    """The images in each way, leaving out those in which they come to the same pixels."""
    import numpy as np

    found = {declared: np.load(images.file("images.npy"))}
    for way in ways:
        pixels = np.load(images.file(way.file))
        if not any(np.array_equal(pixels, known) for known in found.values()):
            found[way] = pixels
    return found


class Asker:
    """Has a model classify images under one input after another; none is asked twice.

    Args:
        images: uint8 RGB, (images, height, width, 3), by the way they were framed.
    """

    def __init__(
        self,
        score: foreign.Scorer,
        card: Card,
        declared: Claim,
        images: dict[Way, NDArray[np.uint8]],
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
        for i, (name, channels, way) in enumerate(new, start=1):
            mean, std = self.ranges[name]
            x = prepare(self.images[way], {"dtype": "float32", "mean": mean, "std": std})
            # The model was made to take RGB from what the recipe says that its file takes.
            x = x if channels == self.declared.channels else x[..., ::-1].copy()
            self.answered[Input(name, channels, way)] = Answers.of(self.score(x))
            self.progress(i, len(new), "compare input ranges, channel orders and framings")


def _declared(card: Card) -> Claim:
    same = (name for name, value in RANGES.items() if value == (card.mean, card.std))
    return Claim(next(same, "mean and std"), card.channels, card.framing.way)
