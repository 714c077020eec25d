"""Whether a cut bought time: the pruned network against the dense one on the runtime itself."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.cycle_model.estimated_core import ratio_by
from edgekit.data.size import Size
from edgekit.engine.action import Progress
from edgekit.errors import NotAsAsked
from edgekit.evaluation.measure import HERE, undisturbed
from edgekit.evaluation.metrics import unless_disturbed
from edgekit.evaluation.timing import Candidate, Machine
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement, believed, interval
from edgekit.models.card import Card
from edgekit.models.pruned import KernelPrecision, PruningGain
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.runtimes.contract.settings import Quantization

CALIBRATION_IMAGES = 16
"""Enough for a file whose accuracy nobody asks for."""


@dataclass(frozen=True)
class File:
    """A compiled network, in a folder that lasts as long as the trial."""

    folder: Path
    form: InputForm
    bytes: int


class LatencyTrial:
    """Compiles networks for one runtime and precision, and times them against each other."""

    def __init__(
        self,
        runtime: Runtime,
        precision: KernelPrecision,
        images: NDArray[np.uint8],
        folder: Path,
        progress: Progress,
        machine: Machine = HERE,
    ) -> None:
        """
        Args:
            images: uint8 (images, height, width, 3), of the training split, to calibrate and to
                time.
            folder: an empty one, for the files.
            machine: what the networks are timed on.
        """
        self.runtime = runtime
        self.precision = precision
        self.images = images
        self.folder = folder
        self.progress = progress
        self.machine = machine
        np.save(folder / "images.npy", self.images)

    def compile(self, model: Any, card: Card) -> File:
        runtime = self.runtime
        into = Path(tempfile.mkdtemp(dir=self.folder))
        form = runtime.compile(model, card, into, self.progress)
        if self.precision == "int8":
            compiled, into = into, Path(tempfile.mkdtemp(dir=self.folder))
            settings = Quantization(
                quantizer=runtime.quantizers[0], calibration=runtime.calibrations[0]
            )
            form = runtime.quantize(
                compiled / runtime.file, card, self.images, settings, into, self.progress
            )
        files = [into / name for name in runtime.files()]
        return File(into, form, sum(path.stat().st_size for path in files))

    def compare(self, pruned: File, dense: File) -> PruningGain:
        """Interleaved in one process; again, where something else took the processor."""
        name, file = self.runtime.name, self.runtime.file
        candidates = [
            Candidate("pruned", name, pruned.folder / file, pruned.form),
            Candidate("dense", name, dense.folder / file, dense.form),
        ]
        images = self.folder / "images.npy"
        timed = undisturbed(lambda: self.machine.time(candidates, images, self.progress))
        timings = timed.timings
        ratio = ratio_by(self.machine, timings["pruned"], timings["dense"])
        return PruningGain(
            latency=unless_disturbed(ratio, timed.disturbed),
            size=pruned.bytes / dense.bytes,
            disturbed=timed.disturbed,
        )


def middle(images: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """A few images of any larger size, cut to a size from their middle."""
    starts = ((have - side) // 2 for have, side in zip(images.shape[1:3], size, strict=True))
    rows, columns = (slice(at, at + side) for at, side in zip(starts, size, strict=True))
    return np.array(images[:CALIBRATION_IMAGES, rows, columns])


def is_idle(latency: Measurement | InvalidMeasurement) -> bool:
    """Not surely faster than the dense network: the interval of the ratio reaches 1. A latency that
    was disturbed tells nothing, not that the cut is idle. Of an estimate the value counts: its
    interval is of unlike networks, and would refuse nearly every cut."""
    found = believed(latency)
    if found is None:
        return False
    if found.evidence is Evidence.ESTIMATED:
        return found.value >= 1
    return found.high is None or found.high >= 1


def refuse_idle(
    trial: PruningGain, runtime: str, macs: float, precision: str, machine: str
) -> None:
    """Refuse a cut that saves operations and no time.

    Args:
        machine: what it was timed on.
        macs: what is left of the multiply-accumulates, as a share.

    Raises:
        NotAsAsked: with the figures.
    """
    found = believed(trial.latency)
    if found is None or not is_idle(found):
        return
    raise NotAsAsked(
        f"prune: the cut leaves {100 * macs:.0f} % of the multiply-accumulates and buys no time: "
        f"{precision} on {runtime} takes {interval(found, 2)} times what the dense network takes, "
        f"on {machine}",
        hint="cut by latency, or deeper, or by multiples of 8 (round_to); force: true keeps the "
        "cut all the same, and the report says that it bought nothing",
    )
