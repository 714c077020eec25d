"""The matrix as it is written down: architectures, trained alike on the same images, on every
target. Each is a recipe of its own with the same stages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, field_validator

from edgekit.data.size import Sides, Size
from edgekit.evaluation.gates import Gates
from edgekit.models.source import ModelSource
from edgekit.spec.recipe import AnySource, AnyStage, Recipe, conflicts, renamed_keys
from edgekit.spec.target import Target, load_target
from edgekit.spec.yaml_document import Location
from edgekit.spec.yamlfile import named_document, parse
from edgekit.stages._training import MAX_EPOCHS


class MatrixEntry(BaseModel):
    """One architecture, and where it differs from the others."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    arch: str
    family: str = ""
    image_size: Annotated[Size, Sides(32, 2048)] | None = None
    epochs: int | None = Field(None, ge=1, le=MAX_EPOCHS)
    learning_rate: float | None = Field(None, gt=0)
    note: str = ""


class Matrix(BaseModel):
    """What `edgekit matrix` reads: recipes that differ in their architecture alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    data: SerializeAsAny[AnySource]
    stages: tuple[SerializeAsAny[AnyStage], ...] = Field(min_length=1, strict=False)
    targets: tuple[str, ...] = Field(min_length=1, strict=False)
    architectures: tuple[MatrixEntry, ...] = Field(min_length=1, strict=False)

    @field_validator("stages")
    @classmethod
    def _to_int8(cls, value: tuple[AnyStage, ...]) -> tuple[AnyStage, ...]:
        if not any(getattr(stage, "precision", None) == "int8" for stage in value):
            raise ValueError("a quantize stage with precision: int8 is what a matrix compares")
        return value

    @field_validator("architectures", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"arch": entry} if isinstance(entry, str) else entry for entry in value]

    @field_validator("architectures")
    @classmethod
    def _named_once(cls, value: tuple[MatrixEntry, ...]) -> tuple[MatrixEntry, ...]:
        names = [entry.arch for entry in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return value

    def recipe(self, entry: MatrixEntry) -> Recipe:
        data = self.data
        if entry.image_size:
            data = data.model_copy(update={"image_size": entry.image_size})
        changes = entry.model_dump(include={"epochs", "learning_rate"}, exclude_none=True)
        return Recipe(
            name=f"{self.name}-{entry.arch.replace('/', '-')}",
            model=ModelSource(arch=entry.arch, weights="scratch"),
            data=data,
            stages=tuple(
                stage.model_copy(update=changes) if stage.trains else stage for stage in self.stages
            ),
            gates=Gates(),
            allow_untrained=True,  # a line of the matrix says so itself
        )


def load_matrix(path: Path, note: Callable[[str], None] = lambda line: None) -> Matrix:
    """Read a matrix file.

    Args:
        note: takes a line for the user about each key that is read under its old name.

    Raises:
        ConfigError: every problem in the file, with its line.
    """
    document = named_document(path, note)
    matrix = parse(document, Matrix, _conflicts)
    for line in renamed_keys(document, matrix.stages):
        note(line)
    return matrix


def _conflicts(matrix: Matrix) -> list[tuple[Location, str]]:
    """What would be wrong with the recipes that it stands for; they differ in the model alone."""
    found = conflicts(matrix.recipe(matrix.architectures[0]))
    return [(("stages",) if where[0] == "model" else where, message) for where, message in found]


def load_targets(matrix: Matrix) -> list[Target]:
    """The matrix's targets with their own runtimes alone, none of them required: a failure is a
    cell, not an end."""
    return [_nothing_required(load_target(name)) for name in matrix.targets]


def _nothing_required(target: Target) -> Target:
    update = {"runtimes": (), "alternatives": target.required, "gates": Gates()}
    return target.model_copy(update=update)
