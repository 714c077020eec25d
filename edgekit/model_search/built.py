"""What an ordinary build made of one recipe for one target, as a point."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.engine.crew import Crew
from edgekit.engine.observer import Observer
from edgekit.engine.store import Store
from edgekit.errors import (
    EdgekitError,
    GateBroken,
    IntegrityError,
    MissingPackage,
    StorageError,
    WorkerFailed,
    storage_errors,
)
from edgekit.evaluation.metrics import Validation
from edgekit.evidence import Status
from edgekit.model_search.axes import point_name
from edgekit.model_search.device_latency import BoardFailed
from edgekit.model_search.points import PointRecord
from edgekit.model_search.relative_latency import TimedFile
from edgekit.pipeline.draft import images
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import Build, RowResult, TargetResult, execute
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target

Result = TypeVar("Result")
TEMPORARY = "the variable TMPDIR"
LOG = logging.getLogger(__name__)
"""What --debug shows of a point that failed: its traceback."""
MACHINES = (StorageError, IntegrityError, MissingPackage, BoardFailed, WorkerFailed)
"""Of the machine or the board, not of a point: they end everything."""


@dataclass(frozen=True)
class BuiltPoint:
    """A point, and the build that it is of; None where it failed."""

    record: PointRecord
    build: Build | None = None
    row: RowResult | None = None
    """What to take of it."""

    @property
    def file(self) -> TimedFile:
        assert self.build is not None
        assert self.row is not None
        judged = self.build.artifacts[images(self.build.plan.recipe.data.evaluate_on)]
        return TimedFile(self.row.artifact, self.row.row.runtime, judged)


def build_point(
    settings: Mapping[str, Any],
    recipe: Recipe,
    target: Target,
    store: Store,
    observer: Observer,
    board: TimingDevice | None = None,
    variant: str = "",
    crew: Crew | None = None,
) -> BuiltPoint:
    """Build one; what fails is told in its record.

    Args:
        variant: what to take of it, if it ships; what the build itself chooses unless given.

    Raises:
        StorageError, IntegrityError, MissingPackage: the machine failed, and not the point.
    """
    record = PointRecord(name=point_name(settings), settings=dict(settings))

    def built() -> Build:
        return execute(make_plan(recipe, [target], store, board=board), store, observer, crew)

    build = attempt(record, built)
    if build is None:
        return BuiltPoint(record)
    if not build.targets:
        record.reason = build.plan.left_out.get(target.name, "nothing could be built")
        record.exit_code = 2
        return BuiltPoint(record)
    return _measured(record, build, variant)


def attempt(record: PointRecord, work: Callable[[], Result]) -> Result | None:
    """What comes of some work; None where it fails, and why is in the record.

    Raises:
        StorageError, IntegrityError, MissingPackage, BoardFailed: the machine failed, and not the
            point.
    """
    try:
        with storage_errors(Path(tempfile.gettempdir()), TEMPORARY):
            return work()
    except MACHINES:
        raise
    except EdgekitError as error:
        LOG.debug("%s failed", record.name, exc_info=True)
        record.reason, record.exit_code = error.message, error.exit_code
    except Exception as error:  # of a library: a point, and no reason to stop the others
        LOG.debug("%s failed", record.name, exc_info=True)
        said = str(error).strip().partition(chr(10))[0]
        record.reason, record.exit_code = f"{type(error).__name__}: {said}", 1
    return None


def _measured(record: PointRecord, build: Build, variant: str) -> BuiltPoint:
    target = build.targets[0]
    row = _row_to_take(target, variant)
    record.status, record.reason = target.status, "; ".join(target.faults)
    if not target.shipped and not target.faults:
        record.reason = "; ".join(f"{name}: {why}" for name, why in target.left_out.items())
        record.status = Status.BROKEN
    record.exit_code = _exit_code(target)
    if row is None:
        return BuiltPoint(record, build)
    validation = row.validation
    record.variant, record.runtime = row.row.variant, row.row.runtime
    record.precision = row.artifact.described_by(CompiledMetadata).precision
    record.parameters, record.macs = validation.parameters, validation.macs
    record.size = validation.size
    take_accuracy(record, validation)
    return BuiltPoint(record, build, row)


def take_accuracy(record: PointRecord, validation: Validation) -> None:
    """With what belongs to it: all that is against its own float model."""
    record.top1, record.agreement = validation.top1, validation.agreement
    record.drop = validation.change.drop if validation.change else None
    record.of_float = validation.latency.ratio


def _exit_code(target: TargetResult) -> int:
    if target.error:
        return target.error.exit_code
    if target.faults:
        return GateBroken.exit_code
    return 0 if target.shipped else 2


def _row_to_take(target: TargetResult, variant: str) -> RowResult | None:
    """What ships; else what came last."""
    shipped = target.shipped
    if variant in shipped:
        return shipped[variant]
    if target.choice and target.choice.chosen in shipped:
        return shipped[target.choice.chosen]
    last = [row for row in target.rows if row.row.last]
    return next(iter(shipped.values()), None) or next(iter(last[::-1] or target.rows[::-1]), None)
