"""What a bundle is: bundle.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgekit import __version__
from edgekit.data.size import Size
from edgekit.devices.agent_result import Threads
from edgekit.devices.bundle.bundled_model import Subject
from edgekit.devices.bundle.protocol import Protocol
from edgekit.evaluation.score_meaning import ScoreMeaning
from edgekit.models.source import Triple
from edgekit.runtimes import RuntimeName
from edgekit.runtimes.contract.description import Port
from edgekit.runtimes.contract.input_form import InputForm

NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
"""Of a model, as of a recipe: it is a folder on the device."""


class Photos(BaseModel):
    """How classify.py feeds photos to a file from elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: Size
    crop_pct: float = 1.0
    layout: Literal["NHWC", "NCHW"]
    dtype: Literal["float32", "uint8"]
    mean: Triple
    std: Triple


class Info(BaseModel):
    """What a bundle is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    edgekit: str = __version__
    name: str = Field(pattern=NAME)
    """Of the deployed model: its folder on the device."""
    target: str | None
    machine: str | None
    """The architecture it is built for, as `uname -m` says it; None for any."""
    cpu: str | None
    threads: Threads
    runtime: RuntimeName
    device: str = "CPU"
    """What runs it there: CPU, NPU, ..."""
    form: InputForm | None
    """None where what is no image to us lies ready for the model."""
    photos: Photos | None = None
    """None where a manifest says it, and where it is not known."""
    output: Port | None = None
    """Of a file from elsewhere: what its codes stand for. None where a manifest says it."""
    subject: Subject
    classes: tuple[str, ...]
    scores: ScoreMeaning | None = None
    images: int = Field(ge=1)
    labelled: bool
    input_source: str
    input_sha256: str
    protocol: Protocol
    has_slice: bool = True
    """False where the images it is measured with were left out."""
    absent: dict[str, str] = {}
    """Why something is not in it, by its path in the report."""

    @model_validator(mode="after")
    def _at_one_number_of_threads(self) -> Info:
        if self.protocol.threads[0] != self.threads:
            raise ValueError(f"protocol.threads must begin with {self.threads}, as `threads` says")
        return self
