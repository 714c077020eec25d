"""Workloads for tests of what is computed from them."""

from __future__ import annotations

from edgekit.devices.estimate.workload import Workload


def workload(
    conv: int = 0, depthwise: int = 0, dense: int = 0, product: int = 0, weights: int = 0,
    moved: int = 0, operators: int = 1, precision: str = "int8",
) -> Workload:  # fmt: skip
    return Workload(
        conv=conv,
        depthwise=depthwise,
        dense=dense,
        product=product,
        by_precision={precision: conv + depthwise + dense + product},
        weights=weights,
        moved=moved,
        operators=operators,
    )
