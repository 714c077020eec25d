"""export: the file that ships. Raw uint8 RGB in, scores out, labels inside."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from edgekit.engine.action import Context, Inputs
from edgekit.engine.artifact import Json
from edgekit.errors import Unsupported
from edgekit.evaluation.file_audit import audit
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import Audit, CompiledMetadata
from edgekit.runtimes.contract.settings import Variant
from edgekit.stages.base import RuntimeStage


class Export(RuntimeStage):
    version: ClassVar[int] = 3

    stage: Literal["export"] = "export"
    preprocess: Literal["baked"] = "baked"
    """Normalisation is inside the model; in int8, where it can be, in the input's scale."""

    def settings_for(self, runtime: Runtime, variant: Variant) -> Json:
        return {**self.settings(), "io": variant.io}

    def apply(
        self, runtime: Runtime, variant: Variant, inputs: Inputs, into: Path, context: Context
    ) -> CompiledMetadata:
        model = inputs["model"]
        metadata = model.described_by(CompiledMetadata)
        card, form = metadata.card, metadata.form
        runtime.bake(model.file(runtime.file), card, form, card.classes, into, variant.io)
        description = runtime.describe(into / runtime.file)
        found = audit(description)
        if variant.io == "integer":
            _refuse_float(runtime, found)
        if variant.io != "float":
            form = form.model_copy(update={"dtype": "uint8"})
        return metadata.updated(
            form=form, input=description.input, output=description.output, audit=found
        )


def _refuse_float(runtime: Runtime, found: Audit) -> None:
    """A delegate for integers alone takes no file that computes in float anywhere."""
    if found.left_in_float:
        names = ", ".join(f"{count} {kind}" for kind, count in found.left_in_float.items())
        raise Unsupported(
            f"{runtime.file} is not integer throughout: {names} compute in float",
            hint="the runtime's fast path has no int8 kernel for them, or eight bits break them: "
            "choose an architecture without them for integer delegates",
        )
