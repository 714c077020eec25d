"""Is a network trained for int8 better at int8 than the one it started from? Both in simulation,
on the same images, image by image."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from edgekit import stats
from edgekit.evidence import Verdict

PairedOutcome = Literal["better", "worse", "nothing to gain"]
OUTCOMES: dict[Verdict, PairedOutcome] = {
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.CANNOT_TELL: "nothing to gain",
}
REMARKS: dict[PairedOutcome, str] = {
    "better": "Training for int8 pays",
    "worse": "Training for int8 made it worse, so the weights before it are kept",
    "nothing to gain": "Training for int8 brought nothing that these images could show, so the "
    "weights before it are kept",
}
MIN_DIVERGENCE = 1e-6
"""Nats; divergences below it are all alike."""
Scores = NDArray[np.float32]


class SimulatedAccuracy(BaseModel):
    """Of one network at int8, in simulation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top1: float
    """Percent."""
    agreement: float
    """Percent of images to which it gives the float network's class."""
    divergence: float
    """Mean Kullback-Leibler divergence from the float network's scores, in nats."""


class PairedComparison(BaseModel):
    """What training for int8 brought, against the same network quantised as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: PairedOutcome
    images: int
    ptq: SimulatedAccuracy
    qat: SimulatedAccuracy
    gain: tuple[float, float, float]
    """In points of top-1, with its 95 % interval."""
    ratio: tuple[float, float, float]
    """Its divergence on an image as a multiple of the other's, with its 95 % interval."""

    @property
    def keeps_training(self) -> bool:
        """Whether the trained weights ship."""
        return self.verdict == "better"

    @property
    def remark(self) -> str:
        """One line for a report."""
        (gain, low, high), (ratio, least, most) = self.gain, self.ratio
        return (
            f"{REMARKS[self.verdict]}: simulated on {self.images} training images it never saw, "
            f"top-1 is {self.qat.top1:.1f} % with it and {self.ptq.top1:.1f} % without "
            f"({gain:+.1f} points, {low:+.1f} to {high:+.1f}); agreement with the float network "
            f"{self.qat.agreement:.1f} and {self.ptq.agreement:.1f} %; mean divergence from it "
            f"{self.qat.divergence:.5f} and {self.ptq.divergence:.5f} nats, on a typical image "
            f"{ratio:.2f} times ({least:.2f} to {most:.2f})."
        )


def paired_check(
    reference: Scores, ptq: Scores, qat: Scores, labels: NDArray[np.int64]
) -> PairedComparison:
    """Better where more labels are right, or where the scores are closer to the float network's,
    on a typical image and on the mean, and no fewer labels are right. Worse where fewer are right,
    or where no more are and the scores are further from the float network's on a typical image.

    The typical image is the geometric mean, which a few images with a large divergence do not sway
    as they do the mean.

    Args:
        reference: of the float network; all scores are float32 (images, classes).
        labels: int64 (images,).
    """
    right = [scores.argmax(1) == labels for scores in (ptq, qat)]
    change = stats.paired_accuracy(right[0], right[1])
    apart = [divergences(reference, scores) for scores in (ptq, qat)]
    typical = stats.paired_mean(*(np.log(np.maximum(d, MIN_DIVERGENCE)) for d in apart))
    verdict = change.verdict if change.verdict is not Verdict.CANNOT_TELL else typical.verdict
    further = apart[1].mean() > apart[0].mean()
    if verdict is Verdict.BETTER and change.verdict is not Verdict.BETTER and further:
        verdict = Verdict.CANNOT_TELL
    same = [scores.argmax(1) == reference.argmax(1) for scores in (ptq, qat)]
    found = [
        SimulatedAccuracy(
            top1=100 * float(right[i].mean()),
            agreement=100 * float(same[i].mean()),
            divergence=float(apart[i].mean()),
        )
        for i in range(2)
    ]
    return PairedComparison(
        verdict=OUTCOMES[verdict],
        images=len(labels),
        ptq=found[0],
        qat=found[1],
        gain=(-change.drop, -change.high, -change.low),
        ratio=tuple(float(np.exp(-end)) for end in (typical.drop, typical.high, typical.low)),
    )


def divergences(reference: Scores, scores: Scores) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of each image's scores from the reference's, in nats."""
    from scipy.special import log_softmax

    wanted, got = (log_softmax(s.astype(np.float64), axis=1) for s in (reference, scores))
    return np.asarray((np.exp(wanted) * (wanted - got)).sum(axis=1))
