"""Latencies on the target's core of all that a build shipped: `estimates_of`."""

from __future__ import annotations

from edgekit.build_folder.target_estimates import TargetEstimates, VariantEstimate
from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.file_estimate import RUNTIMES, CycleEstimate
from edgekit.devices.estimate.calibrated import CalibratedBoards
from edgekit.devices.estimate.modelled_target import core_of
from edgekit.devices.estimate.workload import workload_of
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError
from edgekit.evidence import Measurement, believed, interval
from edgekit.pipeline.run import RowResult, TargetResult
from edgekit.pipeline.target_core import estimate_artifact, need_counting
from edgekit.runtimes import find_runtimes
from edgekit.transports.base import Listener
from edgekit.transports.emulation.cpus import CpuName

OF_FLOAT = "times the latency of float"
ALL = ""
"""In place of a variant."""


def estimates_of(
    target: TargetResult, store: Store, on_message: Listener
) -> TargetEstimates | None:
    """Of all that shipped; None where a device timed it, or nothing models the target's core.

    What counting needs is not fetched in a build, and what fails is no fault of it: both are told.
    """
    core = core_of(target.plan.target)
    if core is None or target.was_timed:
        return None
    found = TargetEstimates(core=core, board=memories_of(core).board)
    try:
        need_counting(core, target.plan.target)
    except EdgekitError as error:
        update = {"missing": {ALL: error.message}, "advice": error.hint or ""}
        return found.model_copy(update=update)
    return _Counting(target, core, store, on_message).all(found)


class _Counting:
    def __init__(
        self, target: TargetResult, core: CpuName, store: Store, on_message: Listener
    ) -> None:
        self._target, self._core, self._store = target, core, store
        self._on_message = on_message
        self._boards = CalibratedBoards.of_core(core, on_message)

    def all(self, found: TargetEstimates) -> TargetEstimates:
        variants, missing, apart = {}, {}, []
        for name, result in self._target.shipped.items():
            if result.row.runtime not in RUNTIMES:
                missing[name] = f"{result.row.runtime} is not emulated"
                continue
            try:
                variants[name] = own = self._variant(result)
            except EdgekitError as error:
                missing[name] = error.message
                continue
            host = believed(result.validation.latency.ratio)
            if own.disagrees(host):
                here, there = (f"{interval(r, 2)} {OF_FLOAT}" for r in (host, own.ratio))
                apart.append(f"{name}: {here} here, {there} on a {found.board}")
        return found.model_copy(
            update={"variants": variants, "missing": missing, "disagreements": apart}
        )

    def _variant(self, result: RowResult) -> VariantEstimate:
        counted = self._count(result, operators=True)
        runtime = result.row.runtime
        floats = [r for r in self._target.rows if r.row.baseline and r.row.runtime == runtime]
        ratio = counted.ratio_to(self._count(floats[0])) if floats else None
        return VariantEstimate(
            counted=counted, ratio=ratio, calibrated=self._calibrated(result, counted)
        )

    def _calibrated(self, result: RowResult, counted: CycleEstimate) -> dict[str, Measurement]:
        if not self._boards.models:
            return {}
        reader = find_runtimes()[result.row.runtime]()
        workload = workload_of(reader, result.artifact.file(reader.file))
        return self._boards.scaled(counted, reader.name, workload.precision)

    def _count(self, result: RowResult, operators: bool = False) -> CycleEstimate:
        file = result.artifact, result.row.runtime
        return estimate_artifact(*file, self._core, self._store, self._on_message, operators)
