"""The contract of a stage: its pydantic fields are its YAML keys, its docs and its cache key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json
from edgekit.errors import EdgekitError, NotAsAsked, Unsupported, storage_errors
from edgekit.evaluation.file_audit import audit
from edgekit.evaluation.gates import Gates
from edgekit.evaluation.measure import Machine, drivers
from edgekit.models import timm_models
from edgekit.quantization.tensor_names import same_ranges
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


@contextmanager
def blamed(runtime: Runtime, step: str, into: Path) -> Iterator[None]:
    """What a runtime's library raises, in whatever way, is that this model cannot be built for it:
    it ends one variant, and the other variants and targets go on."""
    try:
        with storage_errors(into):
            yield
    except (EdgekitError, OSError, MemoryError):
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise Unsupported(
            f"{runtime.name} cannot {step} this model: {type(error).__name__}: {first}",
            hint="--debug shows where its library stopped; another architecture or runtime may do",
        ) from error


class OnRuntime(Action):
    """A runtime stage, and the runtime and the variant it works for."""

    def __init__(self, stage: RuntimeStage, runtime: Runtime, variant: Variant) -> None:
        self.stage = stage
        self.runtime = runtime
        self.variant = variant

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.stage.libraries, *self.runtime.libraries)

    def settings(self) -> Json:
        return {
            **self.stage.settings_for(self.runtime, self.variant),
            "stage_version": self.stage.version,
            "runtime": self.runtime.name,
            "runtime_version": self.runtime.version,
        }

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        with blamed(self.runtime, self.stage.stage, into):
            return self.stage.apply(self.runtime, self.variant, inputs, into, context)


class Compile(Action):
    """A float model for a runtime, in float: so that every stage is measured on the target."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.runtime.libraries

    def settings(self) -> Json:
        return {"runtime": self.runtime.name, "runtime_version": self.runtime.version}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        model, card = timm_models.restore(inputs["model"])
        with blamed(self.runtime, "compile", into):
            form = self.runtime.compile(model, card, into, context.progress)
        if not card.macs:  # of a file from elsewhere, whose operators are counted in the result
            operators = self.runtime.describe(into / self.runtime.file).operators
            card = card.model_copy(update={"macs": sum(o.macs for o in operators)})
        metadata = {
            "card": card.model_dump(mode="json"),
            "form": form.model_dump(mode="json"),
            "precision": "float32",
        }
        trained = inputs["model"].metadata.get("ranges")
        if not trained:
            return metadata
        found = same_ranges(model, self.runtime, into / self.runtime.file, form, trained)
        if not found:
            raise Unsupported(
                f"none of the {len(trained)} ranges that were trained for int8 is found again in "
                f"{self.runtime.name}'s file",
                hint="leave the qat stage out for this architecture and runtime",
            )
        return {**metadata, "ranges": found}


class Adopt(Action):
    """Another runtime's int8 file, taken over by this one, which may run it otherwise."""

    def __init__(self, runtime: Runtime, maker: Runtime) -> None:
        self.runtime = runtime
        self.maker = maker

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.runtime.libraries

    def settings(self) -> Json:
        return {"runtime": self.runtime.name, "runtime_version": self.runtime.version}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        metadata = inputs["model"].metadata
        with blamed(self.runtime, "adopt", into):
            self.runtime.adopt(inputs["model"].file(self.maker.file), into)
        found = audit(self.runtime.describe(into / self.runtime.file))
        return {**metadata, "audit": found.model_dump(mode="json")}


class Check(Action):
    """Whether the shipped file would run on the target at all, read from the file alone."""

    def __init__(self, runtime: Runtime, device: str, engine: str | None) -> None:
        self.runtime = runtime
        self.device = device
        self.engine = engine

    def settings(self) -> Json:
        identity = {"runtime": self.runtime.name, "runtime_version": self.runtime.version}
        return {**identity, "device": self.device, "engine": self.engine}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        path = inputs["model"].file(self.runtime.file)
        problems = self.runtime.refusals(path, self.device, self.engine)
        if problems:
            where = self.engine or self.device
            raise NotAsAsked(
                f"{self.runtime.file} would not run with {where}: {'; '.join(problems[:5])}",
                hint="choose another architecture, or another variant for this target",
            )
        return {"device": self.device, "engine": self.engine}


class Precompile(Action):
    """The shipped file as the device's own compiler leaves it. It loads at once, and fits one
    version of the driver alone, so it lies beside the file and never instead of it."""

    def __init__(self, runtime: Runtime, device: str) -> None:
        self.runtime = runtime
        self.device = device

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.runtime.engine,)

    def settings(self) -> Json:
        identity = {"runtime": self.runtime.name, "runtime_version": self.runtime.version}
        return {**identity, "device": self.device, "drivers": drivers(self.device)}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Json:
        facts = self.runtime.precompile(inputs["model"].file(self.runtime.file), self.device, into)
        return {"device": self.device, **facts}
