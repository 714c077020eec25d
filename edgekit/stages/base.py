"""The contract of a stage: its pydantic fields are its YAML keys, its docs and its cache key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from edgekit.data.size import Size
from edgekit.engine.action import GIGABYTE, Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata
from edgekit.evaluation.gates import Gates
from edgekit.evaluation.timing import Machine
from edgekit.models.source import ModelSource
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.settings import Variant

MAX_SAMPLES = 10_000_000
"""Images that a recipe may ask for: beyond it a number is a slip."""


class Stage(BaseModel, Action):
    """One step of a recipe's `stages`. A trunk stage, by default: it turns a torch model into a
    torch model, once for all targets."""

    # Strict: "8" and true are no numbers. A field that is a tuple or a Path takes YAML's lists and
    # texts with Field(strict=False).
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    scope: ClassVar[Literal["trunk", "runtime"]] = "trunk"
    trains: ClassVar[bool] = False
    """The stage learns from labels, so its result is a new float reference, not a loss."""
    distils: ClassVar[bool] = False
    """The stage takes something away and then learns from the training split to be the float model
    again that it began with, which it is judged against. No image of that split may judge it."""
    is_final: ClassVar[bool] = False
    """No other trunk stage may follow: it would undo what this one does to the weights."""
    images: ClassVar[Literal["train", "calibration"] | None] = None
    """The split whose decoded images the stage reads."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys that older recipes use, each with its new name; both mean the same."""

    stage: str

    @model_validator(mode="before")
    @classmethod
    def _with_new_names(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        for old, new in cls.renamed.items():
            if old in fields and new in fields:
                raise ValueError(f"{old} is the old name of {new}: remove {old}")
        return {cls.renamed.get(key, key): value for key, value in fields.items()}

    @property
    def shows_curve(self) -> bool:
        """Whether it shows after each epoch how it does on the validation split, in its input of
        that name."""
        return False

    @property
    def memory(self) -> int:
        return 3 * GIGABYTE if self.trains or self.distils else GIGABYTE

    def settings(self) -> Json:
        return self.model_dump(mode="json")

    def files(self) -> dict[str, Path]:
        """Files the settings point to; their digests enter the key."""
        return {}

    def teachers(self) -> dict[str, ModelSource]:
        """The networks that it learns from, by the settings that name them."""
        return {}

    @property
    def estimates(self) -> bool:
        """Whether what it times is to be estimated for the target's core, where no device is."""
        return False

    def timed_on(self, machine: Machine) -> Self:
        """The stage, where whatever it times is to run on this machine."""
        return self

    def model_steps(self) -> dict[str, Action]:
        """Steps of their own that read the model before this trunk stage changes it, by the role
        under which `run` finds their artifact. Their one input is that model."""
        return {}

    def split_steps(self, image_size: Size) -> dict[str, Action]:
        """Steps of their own that read the data before this trunk stage, by the role under which
        `run` finds their artifact. Their inputs are the splits and the stage's own images."""
        return {}

    def check_targets(self, runtimes: Collection[type[Runtime]]) -> None:
        """Hold the stage against the runtimes of one target, before anything runs.

        Raises:
            InputError: the stage can do nothing for any of them; with the reason.
        """


Where = Literal["host", "target"]
"""What a stage times on."""


class RuntimeStage(Stage):
    """Works on a compiled model, once for each target and runtime.

    A setting that is a mapping holds one value for each runtime it names.
    """

    scope: ClassVar[Literal["trunk", "runtime"]] = "runtime"

    def divided(self, images: int, classes: int) -> tuple[int, int]:
        """How many images of the training side a stage whose `images` are for calibration takes,
        and how many others judge what it tries, in its input `held_back`; 0 for none.

        Args:
            images: as many as there are.
            classes: of the data.
        """
        raise NotImplementedError(f"{self.stage} calibrates on no images")

    def plan_note(self, images: int, classes: int) -> str:
        """What `edgekit plan` says of how it will work, where that is no matter of course.

        Args:
            images: of the training side.
            classes: of the data.
        """
        return ""

    @property
    def needs_source(self) -> bool:
        """Whether it reads the torch model itself, in its input `source`, where there is one."""
        return False

    @property
    def may_time(self) -> bool:
        """Whether it may come to time something on this machine."""
        return False

    def for_gates(self, gates: Gates) -> RuntimeStage:
        """The stage, with what the gates ask of it, where its input is the float reference."""
        return self

    def settings_for(self, runtime: Runtime, variant: Variant) -> Json:
        """What enters the key: the settings that concern this variant on this runtime."""
        return self.settings()

    @abstractmethod
    def apply(
        self, runtime: Runtime, variant: Variant, inputs: Inputs, into: Path, context: Context
    ) -> CompiledMetadata:
        """Like `Action.run`, for one variant on one runtime."""

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        raise TypeError(f"{self.stage} runs on a runtime: wrap it in OnRuntime")
