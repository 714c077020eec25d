"""Is a network trained for int8 better at int8 than the one it started from? Both in simulation,
on the same images, image by image."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from edgekit import stats
from edgekit.evidence import Verdict

Outcome = Literal["better", "worse", "nothing to gain"]
TOLD: dict[Verdict, Outcome] = {
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.CANNOT_TELL: "nothing to gain",
}
REMARKS: dict[Outcome, str] = {
    "better": "Training for int8 pays",
    "worse": "Training for int8 made it worse, so the weights before it are kept",
    "nothing to gain": "Training for int8 brought nothing that these images could show, so the "
    "weights before it are kept",
}
Scores = NDArray[np.float32]


class Figures(BaseModel):
    """Of one network at int8, in simulation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top1: float
    """Percent."""
    agreement: float
    """Percent of images to which it gives the float network's class."""
    divergence: float
    """Mean Kullback-Leibler divergence from the float network's scores, in nats."""


class Judgement(BaseModel):
    """What training for int8 brought, against the same network quantised as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Outcome
    images: int
    ptq: Figures
    qat: Figures
    gain: tuple[float, float, float]
    """In points of top-1, with its 95 % interval."""
    closer: tuple[float, float, float]
    """How much less it diverges from the float network, in nats, with its 95 % interval."""

    @property
    def keeps_training(self) -> bool:
        """Whether the trained weights ship."""
        return self.verdict == "better"

    @property
    def remark(self) -> str:
        """One line for a report."""
        (gain, low, high), (closer, least, most) = self.gain, self.closer
        return (
            f"{REMARKS[self.verdict]}: simulated on {self.images} training images it never saw, "
            f"top-1 is {self.qat.top1:.1f} % with it and {self.ptq.top1:.1f} % without "
            f"({gain:+.1f} points, {low:+.1f} to {high:+.1f}); agreement with the float network "
            f"{self.qat.agreement:.1f} and {self.ptq.agreement:.1f} %; divergence from it "
            f"{self.qat.divergence:.4f} and {self.ptq.divergence:.4f} nats ({-closer:+.4f}, "
            f"{-most:+.4f} to {-least:+.4f})."
        )


def judge(reference: Scores, ptq: Scores, qat: Scores, labels: NDArray[np.int64]) -> Judgement:
    """Better where more labels are right, or where the scores are closer to the float network's
    and no fewer labels are right; worse where the same is true the other way round.

    Args:
        reference: of the float network; all scores are float32 (images, classes).
        labels: int64 (images,).
    """
    right = [scores.argmax(1) == labels for scores in (ptq, qat)]
    change = stats.paired_accuracy(right[0], right[1])
    apart = [divergences(reference, scores) for scores in (ptq, qat)]
    closer = stats.paired_mean(apart[0], apart[1])
    verdict = change.verdict if change.verdict is not Verdict.CANNOT_TELL else closer.verdict
    same = [scores.argmax(1) == reference.argmax(1) for scores in (ptq, qat)]
    figures = [
        Figures(
            top1=100 * float(right[i].mean()),
            agreement=100 * float(same[i].mean()),
            divergence=float(apart[i].mean()),
        )
        for i in range(2)
    ]
    return Judgement(
        verdict=TOLD[verdict],
        images=len(labels),
        ptq=figures[0],
        qat=figures[1],
        gain=(-change.drop, -change.high, -change.low),
        closer=(closer.drop, closer.low, closer.high),
    )


def divergences(reference: Scores, scores: Scores) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of each image's scores from the reference's, in nats."""
    from scipy.special import log_softmax

    wanted, got = (log_softmax(s.astype(np.float64), axis=1) for s in (reference, scores))
    return np.asarray((np.exp(wanted) * (wanted - got)).sum(axis=1))
