"""The contract of a stage: its pydantic fields are its YAML keys, its docs and its cache key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json
from edgekit.evaluation.gates import Gates
from edgekit.evaluation.measure import Machine
from edgekit.runtimes.base import Runtime, Variant


class Stage(BaseModel, Action):
    """One step of a recipe's `stages`. A trunk stage, by default: it turns a torch model into a
    torch model, once for all targets."""

    # Strict: "8" and true are no numbers. A field that is a tuple or a Path takes YAML's lists and
    # texts with Field(strict=False).
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    scope: ClassVar[Literal["trunk", "runtime"]] = "trunk"
    trains: ClassVar[bool] = False
    """The stage learns from labels, so its result is a new float reference, not a loss."""
    learns: ClassVar[bool] = False
    """The stage learns from the training split and is held to the float model it was given, as one
    that takes something away; its result may be judged by no image of that split either."""
    settles: ClassVar[bool] = False
    """No other trunk stage may follow: it would undo what this one leaves."""
    images: ClassVar[Literal["train", "calibration"] | None] = None
    """The split whose decoded images the stage reads."""

    stage: str

    def settings(self) -> Json:
        return self.model_dump(mode="json")

    def files(self, base: Path) -> dict[str, Path]:
        """Files the settings point to; their digests enter the key."""
        return {}

    def timed_on(self, machine: Machine) -> Self:
        """The stage, where whatever it times is to run on this machine."""
        return self

    def examines(self) -> dict[str, Action]:
        """Steps that look at the model before a trunk stage changes it, by the role under which
        `run` finds what they leave. Their one input is that model."""
        return {}

    def prepares(self, base: Path, image_size: int) -> dict[str, Action]:
        """Steps that stand before a trunk stage, by the role under which `run` finds what they
        leave. Each is given the splits and the images that the stage itself reads."""
        return {}

    def refuse(self, runtimes: Collection[type[Runtime]]) -> None:
        """Refuse a target for whose runtimes the stage can do nothing, before anything runs.

        Raises:
            InputError: with the reason.
        """


class RuntimeStage(Stage):
    """Works on a compiled model, once for each target and runtime.

    A setting that is a mapping holds one value for each runtime it names.
    """

    scope: ClassVar[Literal["trunk", "runtime"]] = "runtime"

    @property
    def holds_back(self) -> int:
        """Images of the training side that judge what the stage tries, in its input `held_back`;
        0 for none."""
        return 0

    @property
    def needs_source(self) -> bool:
        """Whether it reads the torch model itself, in its input `source`, where there is one."""
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
    ) -> Json:
        """Like `Action.run`, for one variant on one runtime."""

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        raise TypeError(f"{self.stage} runs on a runtime: wrap it in OnRuntime")
