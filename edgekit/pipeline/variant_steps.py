"""The steps of one variant of a target: compile, quantise, export, each validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.data.calibration import CalibrationChoice, calibration_pool, pick_calibration
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.devices.bench.validate_on_device import OnDevice
from edgekit.engine.action import Action
from edgekit.engine.step_id import StepId
from edgekit.evaluation.validate import Validate
from edgekit.models.source import ModelSource
from edgekit.pipeline.draft import REFERENCE, SPLITS, Draft, images
from edgekit.pipeline.rows import Row
from edgekit.pipeline.runtime_steps import Check, Compile, OnRuntime, Precompile, TakeOver
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import CompilesAhead, Runtime, TakesOver
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.target import Target
from edgekit.stages.base import RuntimeStage

PRECOMPILE = "precompile"


@dataclass(frozen=True)
class VariantSteps:
    """The steps of one variant for one target; each artifact is validated before the next."""

    draft: Draft
    target: Target
    variant: Variant
    judge: StepId
    device: str
    board: TimingDevice | None

    def compile(self, trunk: list[StepId], last: bool) -> list[Row]:
        """What the trunk left, in float, on the variant's runtime: once for all its variants."""
        rows: list[Row] = []
        for step in trunk:
            name = self._id(f"compile-{step}", self.variant.runtime)
            model = self._add(name, Compile(self._runtime(), self._source), {"model": step})
            shipped = last and step == trunk[-1]
            baseline = rows[0].model if rows else None
            if shipped:
                self._check(model)
            rows.append(self._row(step, self.variant.runtime, model, baseline, shipped))
        return rows

    def compress(self, reference: Row, source: Row, stages: list[RuntimeStage]) -> list[Row]:
        """Quantised and exported, by way of another runtime where the variant says so; compared
        with the float reference, whatever the trunk made of it."""
        rows: list[Row] = []
        model = source.model
        for stage in stages:
            runtime = self._runtime()
            if self.variant.via and stage.images:
                runtime = self._made(self.variant.via)
                compiled = self.draft.steps[source.model].inputs
                name = self._id(f"compile-{runtime.name}")
                model = self._add(name, Compile(runtime, self._source), compiled)
            inputs = {"model": model} | _calibration_images(self.draft, stage)
            if stage.needs_source and self._source.format == "torch":
                inputs["source"] = self.draft.steps[source.model].inputs["model"]
            action = OnRuntime(runtime, self._source, stage, self.variant)
            model = self._add(self._id(stage.stage), action, inputs)
            if runtime.name != self.variant.runtime:
                own = self._runtime()
                assert isinstance(own, TakesOver)  # a target refuses every other `via`
                taken = TakeOver(own, self._source, runtime)
                model = self._add(self._id("take-over"), taken, {"model": model})
            last = stage is stages[-1]
            if last:
                self._check(model)
            rows.append(self._row(stage.stage, self.variant.name, model, reference.model, last))
        return rows

    def _check(self, model: StepId) -> None:
        """What the target would refuse is told before it is measured, and never passes."""
        runtime = self._runtime()
        check = Check(runtime, self._source, self.target.device, self.target.engine)
        self._add(model.sibling("check"), check, {"model": model})
        if self.device != "CPU" and isinstance(runtime, CompilesAhead):
            ahead = Precompile(runtime, self.device)
            self._add(model.sibling(PRECOMPILE), ahead, {"model": model})

    @property
    def _source(self) -> ModelSource:
        return self.draft.recipe.model

    def _runtime(self) -> Runtime:
        return self._made(self.variant.runtime)

    def _made(self, runtime: str) -> Runtime:
        return find_runtimes()[runtime]().for_target(self.target.device, self.target.isa)

    def _id(self, name: str, folder: str = "") -> StepId:
        return StepId(name, target=self.target.name, variant=folder or self.variant.name)

    def _add(self, id: StepId, action: Action, inputs: dict[str, StepId]) -> StepId:
        """A step of the target; variants that begin alike share what they have in common."""
        return self.draft.add(id, action, inputs, owner=self.variant.name, shared=True)

    def _row(
        self, stage: str, variant: str, model: StepId, baseline: StepId | None, last: bool
    ) -> Row:
        inputs = {"model": model, "images": self.judge, "reference": REFERENCE}
        if baseline:
            inputs["baseline"] = baseline
        action = Validate(self.variant.runtime, baseline=not baseline, device=self.device)
        validation = self._add(model.sibling(f"validate-{stage}"), action, inputs)
        on_device = None
        if self.board:
            given = {r: i for r, i in inputs.items() if r != "reference"} | {
                "validation": validation
            }
            run = OnDevice(self.board, self.variant.runtime)
            on_device = self._add(model.sibling(f"on-{self.board.name}-{stage}"), run, given)
        return Row(
            stage=stage,
            runtime=self.variant.runtime,
            variant=variant,
            model=model,
            validation=validation,
            baseline=not baseline,
            last=last,
            on_device=on_device,
        )


def _calibration_images(draft: Draft, stage: RuntimeStage) -> dict[str, StepId]:
    """The images a stage calibrates on, and those of the same side that judge what it tries."""
    if stage.images != "calibration":
        return {}
    settings: Any = stage
    samples, held_back = stage.divided(
        len(calibration_pool(draft.splits)), len(draft.inventory.listing.classes)
    )
    choice = CalibrationChoice(samples, settings.every_class)
    roles = {"calibration": _chosen(draft, images("calibration"), choice)}
    if held_back:
        others = CalibrationChoice(held_back, every_class=False, after=samples)
        roles["held_back"] = _chosen(draft, images("held-back"), others)
    return roles


def _chosen(draft: Draft, id: StepId, choice: CalibrationChoice) -> StepId:
    if id not in draft.steps:
        # Refused here if it cannot be had, not after an hour of training.
        judge = draft.recipe.data.evaluate_on
        pick_calibration(draft.splits, draft.inventory.digests, choice, judge)
        draft.add(id, draft.decode("calibration", choice), {"splits": SPLITS})
    return id
