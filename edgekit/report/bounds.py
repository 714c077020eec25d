"""What a build can say of its target's latency where no device took part."""

from __future__ import annotations

from edgekit.devices.estimate.roofline import bound_of
from edgekit.devices.estimate.workload import workload_of
from edgekit.evidence import Bound
from edgekit.pipeline.run import TargetResult
from edgekit.runtimes import find_runtimes


def bounds_of(target: TargetResult) -> dict[str, Bound]:
    """Work and least latency of what shipped, by variant.

    Raises:
        IntegrityError: a stored file is not what was stored.
    """
    spec, found = target.plan.target, {}
    for name, result in target.shipped.items():
        runtime = find_runtimes()[result.row.runtime]()
        result.artifact.verify()  # cached, it was not read in this build yet
        workload = workload_of(runtime, result.artifact.file(runtime.file))
        found[name] = bound_of(workload, spec.cpu, spec.threads)
    return found
