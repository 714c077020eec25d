"""Milliseconds of one file on a device, over several processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.evaluation.latency_ratio import over_processes
from edgekit.evaluation.metrics import measurement, unless_disturbed
from edgekit.evaluation.timing import Timing
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement
from edgekit.stats import Interval

PROCESSES = 3


def milliseconds(timings: Sequence[Timing], evidence: Evidence) -> Measurement | InvalidMeasurement:
    """The geometric mean of the processes' medians, with Student's interval over the processes:
    where memory comes to lie changes from one to the next.

    Args:
        timings: one of each process, two at least.
    """
    value, ends = over_processes([float(np.median(timing.rounds)) for timing in timings])
    found = measurement(
        1e3 * value,
        "ms",
        evidence,
        f"medians of {len(timings)} processes, t interval over processes",
        sum(timing.rounds.size for timing in timings),
        Interval(1e3 * ends.low, 1e3 * ends.high),
    )
    return unless_disturbed(found, any(timing.disturbed for timing in timings))
