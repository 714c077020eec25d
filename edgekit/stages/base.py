"""The contract of a stage: its pydantic fields are its YAML keys, its docs and its cache key."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from edgekit import models
from edgekit.action import Action, Context, Inputs
from edgekit.artifact import Json
from edgekit.runtimes.base import Runtime


class Stage(BaseModel, Action):
    """One step of a recipe's `stages`. A trunk stage, by default: it turns a torch model into a
    torch model, once for all targets."""

    # Strict: "8" and true are no numbers. A field that is a tuple or a Path takes YAML's lists and
    # texts with Field(strict=False).
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    scope: ClassVar[Literal["trunk", "runtime"]] = "trunk"
    trains: ClassVar[bool] = False
    """The stage learns from labels, so its result is a new float reference, not a loss."""
    images: ClassVar[Literal["train", "calibration"] | None] = None
    """The split whose decoded images the stage reads."""

    stage: str

    def settings(self) -> Json:
        return self.model_dump(mode="json")

    def files(self, base: Path) -> dict[str, Path]:
        """Files the settings point to; their digests enter the key."""
        return {}


class RuntimeStage(Stage):
    """Works on a compiled model, once for each target and runtime.

    A setting that is a mapping holds one value for each runtime it names.
    """

    scope: ClassVar[Literal["trunk", "runtime"]] = "runtime"

    def settings_for(self, runtime: Runtime) -> Json:
        """What enters the key: the settings that concern this runtime."""
        return self.settings()

    @abstractmethod
    def apply(self, runtime: Runtime, inputs: Inputs, into: Path, context: Context) -> Json:
        """Like `Action.run`, for one runtime."""

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        raise TypeError(f"{self.stage} runs on a runtime: wrap it in OnRuntime")


class OnRuntime(Action):
    """A runtime stage and the runtime it works for."""

    def __init__(self, stage: RuntimeStage, runtime: Runtime) -> None:
        self.stage = stage
        self.runtime = runtime

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.stage.libraries, *self.runtime.libraries)

    def settings(self) -> Json:
        return {
            **self.stage.settings_for(self.runtime),
            "stage_version": self.stage.version,
            "runtime": self.runtime.name,
            "runtime_version": self.runtime.version,
        }

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        return self.stage.apply(self.runtime, inputs, into, context)


class Compile(Action):
    """A torch model, in float, for a runtime: so that every stage is measured on the target."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.runtime.libraries

    def settings(self) -> Json:
        return {"runtime": self.runtime.name, "runtime_version": self.runtime.version}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        model, card = models.restore(inputs["model"])
        form = self.runtime.compile(model, card, into, context.progress)
        return {
            "card": card.model_dump(mode="json"),
            "form": form.model_dump(mode="json"),
            "precision": "float32",
        }
