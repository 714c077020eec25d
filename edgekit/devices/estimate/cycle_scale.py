"""How far the estimate from counted instructions is off on one board: a factor, from its probes.

The model of a core knows neither a board's memory timings nor its kernel. A few probes that were
measured there with one thread, and counted here, tell by how much all of its figures are off.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edgekit.cycle_model.file_estimate import RUNTIMES, CycleEstimate, estimate_file
from edgekit.data.images import spread
from edgekit.devices.estimate.probes import Made
from edgekit.engine.store import Store
from edgekit.evidence import Evidence, Measurement
from edgekit.runtimes import find_runtimes
from edgekit.transports.base import Listener
from edgekit.transports.emulation.cpus import CpuName

COUNTED = 5
"""Probes of a runtime and a precision: each takes seconds to count."""
MOST_MACS = 150_000_000
"""Larger ones take minutes."""


class CycleScale(BaseModel):
    """Measured by estimated, over the probes that were counted."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float = Field(gt=0)
    """The median."""
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    """The smallest and the largest."""
    probes: int = Field(ge=1)

    def applied(self, counted: CycleEstimate, device: str) -> Measurement:
        """Milliseconds on the board that it is of."""
        estimate = counted.latency.value
        return Measurement(
            value=estimate * self.value,
            unit="ms",
            evidence=Evidence.ESTIMATED,
            method=f"{estimate:.3g} ms from counted instructions, times {self.value:.2f}: what "
            f"{self.probes} probes on {device} took against their own estimates, {self.low:.2f} to "
            f"{self.high:.2f}, which is the interval",
            low=estimate * self.low,
            high=estimate * self.high,
        )


def scale_of(ratios: Iterable[float]) -> CycleScale | None:
    """
    Args:
        ratios: measured by estimated, of each probe.
    """
    found = list(ratios)
    if not found:
        return None
    return CycleScale(
        value=float(np.median(found)), low=min(found), high=max(found), probes=len(found)
    )


def scale_on(
    files: list[Made], seconds: list[float], core: CpuName, store: Store, on_message: Listener
) -> CycleScale | None:
    """Count some of the probes that were measured; None where nothing counts their runtime.

    Args:
        files: of one runtime and precision.
        seconds: of each, with one thread.

    Raises:
        DeviceError: a program that counting needs is missing, or a run failed.
    """
    small = [i for i, one in enumerate(files) if one.workload.macs <= MOST_MACS]
    if not small or files[0].runtime not in RUNTIMES:
        return None
    runtime = find_runtimes()[files[0].runtime]()
    ratios = []
    for i in (small[place] for place in spread(len(small), COUNTED)):
        file = files[i].files[0]
        on_message(f"counting {files[i].probe.label} {files[i].precision}")
        counted = estimate_file(runtime, file, runtime.describe(file).input, core, store)
        ratios.append(1e3 * seconds[i] / counted.latency.value)
    return scale_of(ratios)
