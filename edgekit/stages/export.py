"""export: the file that ships. Raw uint8 RGB in, scores out, labels inside."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgekit.action import Context, Inputs
from edgekit.artifact import Json
from edgekit.models import Card
from edgekit.runtimes.base import InputForm, Runtime
from edgekit.stages.base import RuntimeStage


class Export(RuntimeStage):
    stage: Literal["export"] = "export"
    preprocess: Literal["baked"] = "baked"
    """Normalisation is inside the model; in int8, where it can be, in the input's scale."""

    def apply(self, runtime: Runtime, inputs: Inputs, into: Path, context: Context) -> Json:
        model = inputs["model"]
        card = Card.model_validate(model.metadata["card"])
        form = InputForm.model_validate(model.metadata["form"])
        runtime.bake(model.file(runtime.file), card, form, card.classes, into)
        description = runtime.describe(into / runtime.file)
        return {
            **model.metadata,
            "form": {**form.model_dump(mode="json"), "dtype": "uint8"},
            "input": description.input.model_dump(mode="json"),
            "output": description.output.model_dump(mode="json"),
            "operators": description.count(),
            "outside_delegate": list(description.outside_delegate),
        }
