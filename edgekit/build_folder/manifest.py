"""manifest.json: what a published folder holds, and what a person needs to use it."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from edgekit.data.framing import Fit, Interpolation, Orientation
from edgekit.data.size import Size
from edgekit.engine.artifact import FileEntry, Json
from edgekit.engine.records import Digest, PlainName
from edgekit.evaluation.gates import GateResult
from edgekit.evaluation.score_meaning import ScoreMeaning
from edgekit.evidence import Status
from edgekit.models.channel_widths import Widths
from edgekit.models.source import Triple
from edgekit.models.swish import SwishSubstitute
from edgekit.runtimes import RuntimeName, find_runtimes
from edgekit.runtimes.contract.compiled_metadata import (
    AppliedQuantization,
    Audit,
    FloatByTime,
    FloatOps,
)
from edgekit.runtimes.contract.description import Port
from edgekit.runtimes.contract.input_form import InputForm

MANIFEST_SCHEMA: Literal[3] = 3


class Preprocessing(BaseModel):
    """How a photo becomes the model's input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Literal["NHWC"] = "NHWC"
    colour: Literal["RGB"] = "RGB"
    image_size: Size
    """Pixels: one number of a square, else [height, width]."""
    fit: Fit = "crop"
    """How a picture of another shape becomes the model's."""
    interpolation: Interpolation = Field(
        "bicubic", validation_alias=AliasChoices("interpolation", "resampling")
    )
    """How it is resized; others give other scores. `resampling` in older manifests."""
    orientation: Orientation = "upright"
    """Whether it is turned as its EXIF orientation says; missing in older manifests, which were
    all of upright photos."""
    crop_pct: float
    """Of fit: crop, the centre crop's share of the resized image's shorter side."""
    inside_the_model: bool
    """The file takes raw uint8 pixels; mean and std are in it."""
    mean: Triple
    """Subtracted from pixels / 255, per RGB channel."""
    std: Triple


class ModelFacts(BaseModel):
    """The network, as its card has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arch: str
    parameters: int
    macs: int
    widths: Widths | None = None
    """Of a pruned network alone; the key is missing elsewhere."""
    activation: SwishSubstitute | None = None
    """What stands in place of the architecture's swish; the key is missing elsewhere."""

    @model_serializer(mode="wrap")
    def _without_alterations(self, dump: SerializerFunctionWrapHandler) -> Json:
        fields: Json = dump(self)
        for name in ("widths", "activation"):
            if fields.get(name) is None:
                fields.pop(name, None)
        return fields


class LineageStep(BaseModel):
    """A step that the model came through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    key: str
    digest: Digest
    """Of its artifact in the store."""


class Manifest(BaseModel):
    """One variant's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[3] = MANIFEST_SCHEMA
    file: PlainName
    """The model's, in this folder."""
    files: dict[PlainName, FileEntry]
    """The model's files: itself, what must lie beside it, and the device's compiled blob."""
    beside: dict[PlainName, FileEntry] = {}
    """Labels, golden scores and classify.py; empty in manifests of earlier versions."""
    variant: str
    runtime: RuntimeName
    engine: str
    compiled_for: dict[str, str] | None
    """The device and the versions of driver and compiler that made the blob."""
    precision: str
    quantization: AppliedQuantization | None
    float_ops: FloatOps | None
    by_time: FloatByTime | None = None
    """Operators in float because int8 is slower there; None in manifests of earlier versions."""
    audit: Audit | None
    input: Port | InputForm
    """Of a file that was not exported, how it is fed."""
    output: Port | None
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    """In the order of the scores."""
    scores: ScoreMeaning | None = None
    """None in files of earlier versions."""
    model: ModelFacts
    data_fingerprint: str
    lineage: tuple[LineageStep, ...] = Field(min_length=1)
    """First to last; the last one made this file."""
    libraries: dict[str, str]
    edgekit: str
    gates: tuple[GateResult, ...]
    verdict: Status

    @model_validator(mode="after")
    def _lists_its_model(self) -> Manifest:
        if self.file != find_runtimes()[self.runtime].file or self.file not in self.files:
            raise ValueError(f"file and files must name the {self.runtime} model, not {self.file}")
        return self


class TargetManifest(BaseModel):
    """A target's folder, with the manifest of every variant that ships."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[3] = MANIFEST_SCHEMA
    recipe: str
    target: str
    choice: PlainName | None
    """The variant to take; None where none is."""
    left_out: dict[str, str]
    """Variants that do not ship, each with the reason."""
    artifacts: dict[PlainName, Manifest]
