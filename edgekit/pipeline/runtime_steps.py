"""The steps of a plan that work for one runtime: compile, run a stage there, take over, check."""

from __future__ import annotations

from pathlib import Path

from edgekit.engine.action import Action, Context, Inputs
from edgekit.engine.artifact import Json, Metadata
from edgekit.engine.confinement import Confinement
from edgekit.errors import NotAsAsked, Unsupported
from edgekit.evaluation.file_audit import audit
from edgekit.evaluation.measure import drivers
from edgekit.models import foreign, timm_models
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.source import ModelSource
from edgekit.quantization.tensor_names import same_ranges
from edgekit.runtimes.base import CompilesAhead, Runtime, TakesOver, library_errors
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.settings import Variant
from edgekit.stages.base import RuntimeStage


class RuntimeStep(Action):
    """A step that reads a model's file with a runtime's libraries, confined where the model is from
    elsewhere."""

    def __init__(self, runtime: Runtime, source: ModelSource) -> None:
        self.runtime = runtime
        self.source = source

    def confinement(self, inputs: Inputs) -> Confinement | None:
        return foreign.confinement_of(self.source)

    def settings(self) -> Json:
        return {"runtime": self.runtime.name, "runtime_version": self.runtime.version}


class OnRuntime(RuntimeStep):
    """A runtime stage, and the runtime and the variant it works for."""

    def __init__(
        self, runtime: Runtime, source: ModelSource, stage: RuntimeStage, variant: Variant
    ) -> None:
        super().__init__(runtime, source)
        self.stage = stage
        self.variant = variant

    @property
    def may_time(self) -> bool:
        return self.stage.may_time

    def used_libraries(self) -> tuple[str, ...]:
        return (*self.stage.used_libraries(), *self.runtime.libraries)

    def settings(self) -> Json:
        bits = self.runtime.weight_bits
        return {
            **({"weight_bits": bits} if bits != 8 else {}),
            **self.stage.settings_for(self.runtime, self.variant),
            "stage_version": self.stage.version,
            **super().settings(),
        }

    def run(self, inputs: Inputs, into: Path, context: Context) -> CompiledMetadata:
        with library_errors(self.runtime, self.stage.stage, into):
            return self.stage.apply(self.runtime, self.variant, inputs, into, context)


class Compile(RuntimeStep):
    """A float model for a runtime, in float: so that every stage is measured on the target."""

    def used_libraries(self) -> tuple[str, ...]:
        return self.runtime.libraries

    def run(self, inputs: Inputs, into: Path, context: Context) -> CompiledMetadata:
        model, card = timm_models.restore(inputs["model"])
        with library_errors(self.runtime, "compile", into):
            form = self.runtime.compile(model, card, into, context.progress)
        if not card.macs:  # of a file from elsewhere, whose operators are counted in the result
            operators = self.runtime.describe(into / self.runtime.file).operators
            card = card.model_copy(update={"macs": sum(o.macs for o in operators)})
        metadata = CompiledMetadata(card=card, form=form, precision="float32")
        trained = inputs["model"].described_by(FloatMetadata).ranges
        if not trained:
            return metadata
        found = same_ranges(model, self.runtime, into / self.runtime.file, form, trained)
        if not found:
            raise Unsupported(
                f"none of the {len(trained)} ranges that were trained for int8 is found again in "
                f"{self.runtime.name}'s file",
                hint="leave the qat stage out for this architecture and runtime",
            )
        return metadata.updated(ranges=found)


class TakeOver(RuntimeStep):
    """Another runtime's int8 file, taken over by this one, which may run it otherwise."""

    runtime: TakesOver

    def __init__(self, runtime: TakesOver, source: ModelSource, maker: Runtime) -> None:
        super().__init__(runtime, source)
        self.maker = maker

    def used_libraries(self) -> tuple[str, ...]:
        return self.runtime.libraries

    def run(self, inputs: Inputs, into: Path, context: Context) -> CompiledMetadata:
        metadata = inputs["model"].described_by(CompiledMetadata)
        with library_errors(self.runtime, "take over", into):
            self.runtime.take_over(inputs["model"].file(self.maker.file), into)
        found = audit(self.runtime.describe(into / self.runtime.file))
        return metadata.updated(audit=found)


class Check(RuntimeStep):
    """Whether the shipped file would run on the target at all, read from the file alone."""

    def __init__(
        self, runtime: Runtime, source: ModelSource, device: str, engine: str | None
    ) -> None:
        super().__init__(runtime, source)
        self.device = device
        self.engine = engine

    def settings(self) -> Json:
        return {**super().settings(), "device": self.device, "engine": self.engine}

    def run(self, inputs: Inputs, into: Path, context: Context) -> Metadata:
        path = inputs["model"].file(self.runtime.file)
        problems = self.runtime.unsupported_reasons(path, self.device, self.engine)
        if problems:
            where = self.engine or self.device
            raise NotAsAsked(
                f"{self.runtime.file} would not run with {where}: {'; '.join(problems[:5])}",
                hint="choose another architecture, or another variant for this target",
            )
        return Metadata()


class BlobMetadata(Metadata):
    """Of a file that a device's own compiler left."""

    device: str
    facts: dict[str, str]
    """Versions of its driver and compiler."""


class Precompile(Action):
    """The shipped file as the device's own compiler leaves it. It loads at once, and fits one
    version of the driver alone, so it lies beside the file and never instead of it. Not confined:
    the driver writes to files of its own."""

    def __init__(self, runtime: CompilesAhead, device: str) -> None:
        self.runtime = runtime
        self.device = device

    def used_libraries(self) -> tuple[str, ...]:
        return (self.runtime.engine,)

    def settings(self) -> Json:
        identity = {"runtime": self.runtime.name, "runtime_version": self.runtime.version}
        return {**identity, "device": self.device, "drivers": drivers(self.device)}

    def run(self, inputs: Inputs, into: Path, context: Context) -> BlobMetadata:
        facts = self.runtime.precompile(inputs["model"].file(self.runtime.file), self.device, into)
        return BlobMetadata(device=self.device, facts=facts)
