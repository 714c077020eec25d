"""Milliseconds of one file on a device of the user's, trained or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata
from edgekit.errors import DeviceError
from edgekit.evaluation.latency_ratio import over_processes
from edgekit.evaluation.metrics import measurement, unless_disturbed
from edgekit.evaluation.timing import Machine, Timing
from edgekit.evaluation.validate import candidate
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement
from edgekit.model_search.relative_latency import LATENCY, LatencyRecord
from edgekit.stats import Interval

PROCESSES = 3


class BoardFailed(DeviceError):
    """The device could not be asked, or not be believed: no candidate is to blame."""


class LatencyOnDevice(Action):
    """Time `model` on a device."""

    version = 2
    libraries = ("numpy",)

    def __init__(self, runtime: str, machine: Machine, device: str) -> None:
        self.runtime = runtime
        self.machine = machine
        self.device = device

    def settings(self) -> Json:
        own = {"runtime": self.runtime, "device": self.device, "processes": PROCESSES}
        return own | self.machine.identity()

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        own = candidate("model", self.runtime, inputs["model"], self.device)
        images = inputs["images"].file("images.npy")
        runs = [self.machine.time([own], images, context.progress) for _ in range(PROCESSES)]
        found = milliseconds([run.timings["model"] for run in runs], self.machine.evidence)
        record = LatencyRecord(latency=found)
        (into / LATENCY).write_text(record.model_dump_json(indent=1), encoding="utf-8")
        return Metadata()


def milliseconds(timings: Sequence[Timing], evidence: Evidence) -> Measurement | InvalidMeasurement:
    """The geometric mean of the processes' medians, with Student's interval over the processes:
    where memory comes to lie changes from one to the next.

    Args:
        timings: one of each process, two at least.
    """
    value, ends = over_processes([float(np.median(timing.rounds)) for timing in timings])
    found = measurement(
        1e3 * value,
        "ms",
        evidence,
        f"medians of {len(timings)} processes, t interval over processes",
        sum(timing.rounds.size for timing in timings),
        Interval(1e3 * ends.low, 1e3 * ends.high),
    )
    return unless_disturbed(found, any(timing.disturbed for timing in timings))
