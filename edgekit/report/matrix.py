"""The matrix as data: a line for each architecture, a cell for each variant and precision."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgekit.data.problem import DataProblem
from edgekit.data.size import Size
from edgekit.evaluation.chance import held_to_chance
from edgekit.evaluation.environment import Environment
from edgekit.evaluation.gates import GateVerdict, verdict_on
from edgekit.evidence import InvalidMeasurement, Measurement, Verdict
from edgekit.notebook import HasPage
from edgekit.runtimes.contract.compiled_metadata import Audit, FloatOps

INT8_SHARE = 0.9
"""Share of the multiply-accumulates from which a file counts as int8 here."""
KEPT_AGREEMENT = 95.0
"""Percent of agreement with float from which int8 counts as kept."""


class Cell(BaseModel):
    """One architecture on one variant of one target, in one precision."""

    model_config = ConfigDict(extra="forbid")

    target: str
    variant: str
    precision: str
    reason: str = ""
    """Why it does not export or run; empty where it does, and then the figures are there."""
    top1: Measurement | None = None
    agreement: Measurement | None = None
    sqnr_db: float | None = None
    size: Measurement | None = None
    size_ratio: float | None = None
    latency: Measurement | InvalidMeasurement | None = None
    """A ratio to float; None for float itself, invalid where the machine was too busy to tell."""
    verdict: Verdict | None = None
    audit: Audit | None = None
    float_ops: FloatOps | None = None

    @property
    def is_int8(self) -> bool:
        """Int8 was asked for, and nearly all of the work is done in it."""
        share = self.audit.quantized_macs if self.audit else None
        return self.precision == "int8" and share is not None and share >= INT8_SHARE


class MatrixRow(BaseModel):
    """One architecture. `key` is that of everything its figures were made from."""

    model_config = ConfigDict(extra="forbid")

    arch: str
    family: str
    note: str
    key: str
    image_size: Size
    epochs: int | None
    parameters: int | None = None
    macs: int | None = None
    cells: list[Cell] = []
    reason: str = ""
    """Why nothing of it could be measured; empty where something was."""
    seconds: float = 0.0


class Reach(BaseModel):
    """How well int8 keeps one family on one target: its best architecture and variant there."""

    model_config = ConfigDict(extra="forbid")

    target: str
    best: tuple[str, Cell] | None
    """An architecture and its cell; None where the family does not run at all."""

    @property
    def kept(self) -> bool:
        return bool(
            self.best and self.best[1].agreement and self.best[1].agreement.value >= KEPT_AGREEMENT
        )

    @property
    def is_uncertain(self) -> bool:
        """The agreement's interval reaches both sides of what counts as kept."""
        found = self.best[1].agreement if self.best else None
        if found is None:
            return False
        return verdict_on(found, KEPT_AGREEMENT, at_least=True) is GateVerdict.CANNOT_TELL


class MatrixReport(BaseModel, HasPage):
    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[2] = 2
    edgekit: str
    created: str
    name: str
    source: str
    images: dict[str, int]
    """Images of each split that took part."""
    majority: float | None = None
    """Percent of the images that judge whose class is the commonest: what guessing reaches."""
    problems: list[DataProblem] = []
    """What is odd about the images and stopped nothing."""
    environment: Environment
    libraries: dict[str, str]
    columns: list[tuple[str, str]]
    """Targets and variants, in their order."""
    lines: list[MatrixRow]
    open: list[str]
    """Architectures that are still to come."""
    weights: dict[str, str] = {}
    """Which weights were taken of teachers whose files hold several, by the setting."""

    @property
    def evidence(self) -> str:
        """Where the latencies were seen: host, measured, or both."""
        found = {str(c.latency.evidence) for line in self.lines for c in line.cells if c.latency}
        return " and ".join(sorted(found)) or "host"

    def is_trained(self, line: MatrixRow) -> bool:
        """Whether the float network is significantly better than naming the commonest class: the
        agreement of one that is not says nothing."""
        floats = [c.top1 for c in line.cells if c.top1 and c.precision == "float32"]
        return bool(floats) and held_to_chance(floats[0], self.majority or 0.0).is_trained

    def families(self) -> dict[str, list[Reach]]:
        """For each family its best int8 form on every target, trained networks alone."""
        targets = list(dict.fromkeys(target for target, _ in self.columns))
        return {
            family: [Reach(target=target, best=self._best(family, target)) for target in targets]
            for family in dict.fromkeys(line.family for line in self.lines)
        }

    def _best(self, family: str, target: str) -> tuple[str, Cell] | None:
        found = {
            cell.agreement.value: (line.arch, cell)
            for line in self.lines
            if line.family == family and self.is_trained(line)
            for cell in line.cells
            if cell.target == target and cell.agreement and cell.is_int8
        }
        return found[max(found)] if found else None

    def cell(self, line: MatrixRow, target: str, variant: str, precision: str) -> Cell | None:
        """The cell of a line; None where its whole line has a reason."""
        key = (target, variant, precision)
        return next((c for c in line.cells if (c.target, c.variant, c.precision) == key), None)
