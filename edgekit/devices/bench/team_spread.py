"""How far devices of one kind differ: one file, timed on all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.bench.timing_team import TimingTeam
from edgekit.devices.device import messages_to
from edgekit.engine.action import Action, Context, Inputs, Progress
from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.engine.executor import Executor
from edgekit.engine.step import step_on
from edgekit.errors import DeviceError, Fault
from edgekit.evaluation.device_spread import DeviceSpread
from edgekit.evaluation.milliseconds import PROCESSES, milliseconds
from edgekit.evaluation.timing import Candidate
from edgekit.evaluation.validate import candidate
from edgekit.evidence import InvalidMeasurement, Measurement

SPREAD = "spread.json"


def time_on(
    device: TimingDevice, model: Candidate, images: Path, progress: Progress
) -> Measurement | InvalidMeasurement:
    """Milliseconds of a file on one device."""
    runs = [device.time([model], images, progress) for _ in range(PROCESSES)]
    found = milliseconds([run.timings[model.id] for run in runs], device.evidence)
    return found.model_copy(update={"method": f"on {device.name}: {found.method}"})


class SpreadOfTeam(Action):
    """Time `model` on each of several devices."""

    libraries = ("numpy",)

    def __init__(self, runtime: str, team: TimingTeam, device: str) -> None:
        self.runtime = runtime
        self.team = team
        self.device = device

    def settings(self) -> Json:
        own = {"runtime": self.runtime, "device": self.device, "processes": PROCESSES}
        return own | self.team.identity()

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        model = candidate("model", self.runtime, inputs["model"], self.device)
        images = inputs["images"].file("images.npy")
        found = self.team.on_each(
            lambda one: time_on(one, model, images, context.progress),
            messages_to(context.progress),
        )
        medians = {name: one for name, one in found.items() if isinstance(one, Measurement)}
        spread = DeviceSpread.of("", medians)
        if spread is None:
            raise DeviceError(
                "how far devices differ cannot be told: fewer than two have a latency",
                fault=Fault.NO_RESULT,
            )
        (into / SPREAD).write_text(spread.model_dump_json(indent=1), encoding="utf-8")
        return Metadata()


def spread_of(
    name: str, action: SpreadOfTeam, given: Mapping[str, Artifact], executor: Executor
) -> DeviceSpread:
    """
    Args:
        name: of the file.
        given: `model` and `images`.

    Raises:
        DeviceError: fewer than two devices have measured it, or it cannot be run.
    """
    artifact = executor.perform_on(
        step_on("spread", action, given, "how far devices differ"), given
    )
    return artifact.read(SPREAD, DeviceSpread).model_copy(update={"artifact": name})
