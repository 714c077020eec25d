"""Milliseconds of one file on a device of the user's, trained or not."""

from __future__ import annotations

from pathlib import Path

from edgekit.devices.bench.team_spread import time_on
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.device import messages_to
from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata
from edgekit.errors import DeviceError
from edgekit.evaluation.milliseconds import PROCESSES
from edgekit.evaluation.validate import candidate
from edgekit.model_search.relative_latency import LATENCY, LatencyRecord


class BoardFailed(DeviceError):
    """The device could not be asked, or not be believed: no candidate is to blame."""


class LatencyOnDevice(Action):
    """Time `model` on a device."""

    version = 2
    libraries = ("numpy",)

    def __init__(self, runtime: str, board: TimingDevice, device: str) -> None:
        self.runtime = runtime
        self.board = board
        self.device = device

    def settings(self) -> Json:
        own = {"runtime": self.runtime, "device": self.device, "processes": PROCESSES}
        return own | self.board.identity()

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        own = candidate("model", self.runtime, inputs["model"], self.device)
        images = inputs["images"].file("images.npy")
        found = self.board.on_one(
            lambda one: time_on(one, own, images, context.progress), messages_to(context.progress)
        )
        record = LatencyRecord(latency=found)
        (into / LATENCY).write_text(record.model_dump_json(indent=1), encoding="utf-8")
        return Metadata()
