"""The operators of all that a build shipped, by time and noise: `operators_of`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from edgekit.build_folder.float_twin import InspectOptions, locate
from edgekit.build_folder.inspected import inspect_pair
from edgekit.engine.action import library_versions
from edgekit.engine.artifact import Artifact, digest_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.confined_call import call_confined
from edgekit.engine.confinement import confinement
from edgekit.engine.lease import timing
from edgekit.engine.store import Store
from edgekit.errors import (
    STORE_VARIABLE,
    DeviceError,
    EdgekitError,
    IntegrityError,
    StorageError,
    Unsupported,
    storage_errors,
)
from edgekit.evaluation.host_roofline import host_roofline
from edgekit.evaluation.measure import HERE, PROTOCOL, repeated
from edgekit.evaluation.metrics import BUSY
from edgekit.evaluation.operator_table import OperatorTable, Roofline, ShippedOperators, table_of
from edgekit.evaluation.timing import Timing
from edgekit.pipeline.run import RowResult, TargetResult
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime, TimesOperators
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.operator_times import OperatorTimes
from edgekit.transports.base import Listener

VERSION = 2
"""Raise it whenever the same file would give another table."""
FLOAT = "it is a float file"
INSPECTED_IMAGES = 8
"""Of those it was calibrated on: SQNRs of operators differ by many dB, and little by image."""


def operators_of(
    target: TargetResult, folder: Path, store: Store, on_message: Listener
) -> ShippedOperators | None:
    """None of a target that shipped nothing. What cannot be told is no fault of the build.

    Args:
        folder: where it was published.
    """
    if target.faults or not target.shipped:
        return None
    tables, missing = {}, {}
    for name, result in target.shipped.items():
        try:
            runtime, own = _profiler(result), folder / name
            tables[name] = _table(result.artifact, runtime, own, store, on_message)
        except (StorageError, IntegrityError):
            raise  # of the machine, not of the variant
        except EdgekitError as error:
            missing[name] = error.message
    return ShippedOperators(tables=tables, missing=missing)


def _profiler(result: RowResult) -> TimesOperators:
    """
    Raises:
        Unsupported, DeviceError: the operators cannot be timed, or what came of it would be wrong.
    """
    latency, runtime = result.validation.latency, find_runtimes()[result.row.runtime]()
    if latency.median is not None:
        raise Unsupported("it was timed on the target's own device, whose operators are not timed")
    if not isinstance(runtime, TimesOperators):
        raise Unsupported(f"{runtime.name} does not time its operators")
    if latency.disturbed:
        raise DeviceError(BUSY)
    return runtime


def _table(
    artifact: Artifact, runtime: TimesOperators, folder: Path, store: Store, on_message: Listener
) -> OperatorTable:
    """From the store where it was made before.

    Raises:
        EdgekitError: the file cannot be profiled, or the machine is too busy.
    """
    library = library_versions((runtime.engine,))
    key = digest_of([VERSION, artifact.digest, library, HERE.identity()])[:32]
    path = store.root / "operators" / f"{key}.json"
    try:
        return OperatorTable.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        pass
    on_message(f"timing the operators of {folder.name}")
    times = _undisturbed(artifact, runtime)
    roofline, no_roofline = _roofline(runtime, store)
    noise, no_noise = _noise(artifact, folder, store)
    table = table_of(times, roofline, noise, no_roofline, no_noise)
    if roofline and no_noise in ("", FLOAT):  # what failed here, a later build may tell
        with storage_errors(store.root, STORE_VARIABLE):
            write_atomically(path, table.model_dump_json())
    return table


def _undisturbed(artifact: Artifact, runtime: TimesOperators) -> OperatorTimes:
    artifact.verify()  # cached, it was not read in this build yet
    arguments = (runtime, artifact.file(runtime.file), PROTOCOL["seconds"] / 3)
    with timing():
        found = repeated(
            lambda: call_confined(confinement(runtime.file), _timed, arguments, OperatorTimes),
            _is_disturbed,
        )
    if _is_disturbed(found):
        raise DeviceError(BUSY)
    return found


def _is_disturbed(found: OperatorTimes) -> bool:
    return Timing(0.0, 0.0, np.reshape(found.inferences, (-1, 1))).disturbed


def _timed(runtime: TimesOperators, path: Path, seconds: float) -> OperatorTimes:
    return runtime.operator_times(path, seconds)


def _roofline(runtime: Runtime, store: Store) -> tuple[Roofline | None, str]:
    """Or the reason why there is none."""
    try:
        found = host_roofline(runtime, store)
    except StorageError:
        raise
    except EdgekitError as error:
        return None, error.message
    return found, "" if found else BUSY


def _noise(artifact: Artifact, folder: Path, store: Store) -> tuple[dict[str, float], str]:
    """SQNRs by operator, or the reason why there are none."""
    if artifact.described_by(CompiledMetadata).quantization is None:
        return {}, FLOAT
    try:
        pair = locate(folder, store, InspectOptions(samples=INSPECTED_IMAGES))
        tensors = inspect_pair(pair).inspection.tensors
    except EdgekitError as error:
        return {}, error.message
    return {one.operator: round(one.sqnr_db, 1) for one in tensors if one.operator}, ""
