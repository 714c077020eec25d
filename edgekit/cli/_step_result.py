"""What a person is told of a step that ended, beside its seconds."""

from __future__ import annotations

from edgekit.engine.artifact import Artifact
from edgekit.engine.step import Step
from edgekit.models.float_metadata import FloatMetadata
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata


def told_of(step: Step, artifact: Artifact) -> str:
    """One line: how a training went, or how int8 was found; empty where there is nothing to say."""
    if artifact.is_described_by(FloatMetadata):
        return str(artifact.described_by(FloatMetadata).curve or "")
    if step.id.name == "quantize":
        return artifact.described_by(CompiledMetadata).how_quantized
    return ""
