"""The steps of a plan in the making, in the order they are added."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from edgekit.data.calibration import CalibrationChoice
from edgekit.data.framing import Way
from edgekit.data.images import DecodeImages
from edgekit.data.inventory import Inventory
from edgekit.data.sources.base import Sample
from edgekit.data.splits import divide
from edgekit.engine.action import Action
from edgekit.engine.artifact import Json
from edgekit.engine.step import Step, components_of
from edgekit.engine.step_id import StepId
from edgekit.spec.recipe import Recipe

SPLITS = StepId("splits")
SOURCE = StepId("source")
CHECK_SOURCE = StepId("check-source")
REFERENCE = StepId("reference")
"""Scores of the float model on the evaluation images."""
IMAGES = "images"


def images(split: str) -> StepId:
    """The step that decodes a split, or a part of one."""
    return StepId(split, variant=IMAGES)


@dataclass
class Draft:
    """Steps in the order they were added; an input must have been added before."""

    recipe: Recipe
    inventory: Inventory
    steps: dict[StepId, Step] = field(default_factory=dict)

    @cached_property
    def splits(self) -> dict[str, list[Sample]]:
        """The samples of each split, divided once for all that ask."""
        return divide(self.inventory, self.recipe.data)

    def add(
        self,
        id: StepId,
        action: Action,
        inputs: dict[str, StepId],
        files: Json | None = None,
        owner: str = "",
        shared: bool = False,
    ) -> StepId:
        """Add a step and return its id; where it may be `shared`, that of an equal step of the same
        target, if there is one."""
        keys = {role: self.steps[name].key for role, name in inputs.items()}
        components = components_of(action, keys, files)
        step = Step(id=id, action=action, inputs=inputs, components=components, owner=owner)
        for other in self.steps.values() if shared else ():
            if other.id.target == id.target and other.components == components:
                return other.id
        self.steps[id] = step
        return id

    def decode(
        self,
        split: str,
        calibration: CalibrationChoice | None = None,
        others: tuple[Way, ...] = (),
    ) -> DecodeImages:
        return DecodeImages(self.recipe.data, self.inventory, split, calibration, others)

    def free(self, name: str) -> StepId:
        """`finetune`, then `finetune-2`, ..."""
        number = 2
        free = StepId(name)
        while free in self.steps:
            free = StepId(f"{name}-{number}")
            number += 1
        return free
