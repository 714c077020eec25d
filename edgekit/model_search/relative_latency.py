"""How long one file takes against another of any input size: both in one interleaved run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Artifact, Json, Metadata
from edgekit.engine.executor import Executor
from edgekit.engine.step import StepState, step_on
from edgekit.evaluation.measure import measure, measuring_identity, undisturbed
from edgekit.evaluation.metrics import ratio_of, unless_disturbed
from edgekit.evaluation.validate import candidate
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement

LATENCY = "latency.json"


@dataclass(frozen=True)
class TimedFile:
    """A compiled file, its runtime, and images of the size that it takes."""

    artifact: Artifact
    runtime: str
    images: Artifact


class LatencyRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    latency: Measurement | InvalidMeasurement


class RelativeLatency(Action):
    """Time `model` and `reference` on this machine, alternately."""

    version = 1
    libraries = ("numpy",)

    def __init__(self, runtime: str, reference_runtime: str, device: str = "CPU") -> None:
        self.runtime = runtime
        self.device = device
        self.reference_runtime = reference_runtime

    @property
    def times(self) -> bool:
        return True

    def settings(self) -> Json:
        runtimes = {"runtime": self.runtime, "reference_runtime": self.reference_runtime}
        own = {"device": self.device} if self.device != "CPU" else {}
        return {**runtimes, **own, **measuring_identity(self.device)}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        own = candidate("model", self.runtime, inputs["model"], self.device)
        other = candidate("reference", self.reference_runtime, inputs["reference"], self.device)
        images = {role: inputs[role].file("images.npy") for role in ("images", "reference_images")}
        pair = [replace(own, images=images["images"]), other]
        timed = undisturbed(lambda: measure(pair, images["reference_images"], context.progress))
        timings = timed.timings
        ratio = ratio_of(timings["model"], timings["reference"], Evidence.HOST)
        record = LatencyRecord(latency=unless_disturbed(ratio, timed.disturbed))
        (into / LATENCY).write_text(record.model_dump_json(indent=1), encoding="utf-8")
        return Metadata()


def timed(
    executor: Executor, action: Action, given: dict[str, Artifact]
) -> Measurement | InvalidMeasurement:
    """What an action leaves in latency.json; as it was measured before, if that was valid.

    Raises:
        DeviceError: a file cannot be run.
    """
    step = step_on("latency", action, given, "what all points share")
    found = executor.perform_on(step, given).read(LATENCY, LatencyRecord).latency
    if isinstance(found, InvalidMeasurement) and step.id not in executor.ran:
        forced = replace(step, state=StepState.FORCED)
        found = executor.perform_on(forced, given).read(LATENCY, LatencyRecord).latency
    executor.ran.discard(step.id)
    return found
