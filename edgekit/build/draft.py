"""The steps of a plan in the making, in the order they are added."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.data.images import DecodeImages
from edgekit.data.splits import CalibrationChoice, Inventory
from edgekit.engine.action import Action, library_versions
from edgekit.engine.artifact import Json
from edgekit.engine.step import Step
from edgekit.spec.recipe import Recipe


@dataclass
class Draft:
    """Steps in the order they were added; an input must have been added before."""

    recipe: Recipe
    inventory: Inventory
    steps: dict[str, Step] = field(default_factory=dict)

    def add(
        self,
        id: str,
        action: Action,
        inputs: dict[str, str],
        files: Json | None = None,
        owner: str = "",
        twins_in: str | None = None,
    ) -> str:
        """Add a step and return its id, or that of an equal one whose id starts with `twins_in`."""
        components = {
            "action": type(action).__name__,
            "version": action.version,
            "settings": action.settings(),
            "libraries": library_versions(action.used_libraries()),
            "inputs": {role: self.steps[name].key for role, name in inputs.items()},
            "files": files or {},
        }
        step = Step(id=id, action=action, inputs=inputs, components=components, owner=owner)
        if twins_in is not None:
            for other in self.steps.values():
                if other.id.startswith(twins_in) and other.components == components:
                    return other.id
        self.steps[id] = step
        return id

    def decode(self, split: str, calibration: CalibrationChoice | None = None) -> DecodeImages:
        return DecodeImages(self.recipe.data, self.inventory, split, calibration)

    def free(self, name: str) -> str:
        """`finetune`, then `finetune-2`, ..."""
        number = 2
        free = name
        while free in self.steps:
            free = f"{name}-{number}"
            number += 1
        return free
