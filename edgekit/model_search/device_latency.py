"""Milliseconds of one file on a device of the user's, trained or not."""

from __future__ import annotations

from pathlib import Path

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata
from edgekit.evaluation.measure import Machine
from edgekit.evaluation.metrics import latency_of
from edgekit.evaluation.validate import candidate
from edgekit.evidence import InvalidMeasurement, Measurement
from edgekit.model_search.relative_latency import LATENCY, LatencyRecord


class LatencyOnDevice(Action):
    """Time `model` on a device."""

    version = 1
    libraries = ("numpy",)

    def __init__(self, runtime: str, machine: Machine, device: str) -> None:
        self.runtime = runtime
        self.machine = machine
        self.device = device

    def settings(self) -> Json:
        return {"runtime": self.runtime, "device": self.device, **self.machine.identity()}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        own = candidate("model", self.runtime, inputs["model"], self.device)
        timed = self.machine.time([own], inputs["images"].file("images.npy"), context.progress)
        found = latency_of(timed.timings["model"], None, self.machine.evidence).median
        assert isinstance(found, Measurement | InvalidMeasurement)
        record = LatencyRecord(latency=found)
        (into / LATENCY).write_text(record.model_dump_json(indent=1), encoding="utf-8")
        return Metadata()
