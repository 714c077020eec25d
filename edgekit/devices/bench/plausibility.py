"""Samples that no device can have given: invented, or of a clock that is broken (pure)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgekit.devices.agent_result import AgentResult, Process
from edgekit.devices.bundle.bundled_model import Subject
from edgekit.devices.estimate.roofline import PEAKS, bound_of
from edgekit.devices.estimate.workload import Workload
from edgekit.evidence import InvalidityCause, Reason

CLOCK_SECONDS = 2e-6
"""No clock of a device that runs Python counts in larger steps."""
ENOUGH = 20
"""Samples, below which nothing is concluded."""
RAN_THERE = "edgekit ran it there itself"
READ_FROM_FILE = (
    "read from a file: its ids prove which bundle, agent and model it is of, not that they ran; "
    "who can write the file can write its figures"
)
"""What a report proves, by how it came."""


def implausible(result: AgentResult, subject: Subject, threads: int) -> Iterator[Reason]:
    processes = result.protocol[threads]
    yield from (reason for process in processes for reason in _repeated(process))
    yield from _faster_than_possible(result, subject, threads)


def _repeated(process: Process) -> Iterator[Reason]:
    """Samples that come again to the last digit, though they lie further apart than a clock's
    steps."""
    values, count = np.unique(process.samples), len(process.samples)
    if count < ENOUGH or len(values) > count / 2:
        return
    if len(values) == 1 or float(np.diff(values).min()) > CLOCK_SECONDS:
        yield Reason.invalid(
            InvalidityCause.IMPLAUSIBLE,
            f"{count} samples have {len(values)} distinct values: a clock tells more",
        )


def _faster_than_possible(result: AgentResult, subject: Subject, threads: int) -> Iterator[Reason]:
    cpu, macs = result.environment.cpu, subject.macs or 0
    # OpenVINO's float convolutions may need fewer products than they stand for (Winograd).
    if cpu not in PEAKS or result.environment.devices or subject.format == "openvino":
        return
    work = Workload(
        conv=macs, depthwise=0, dense=0, product=0, weights=0, moved=0, operators=0,
        by_precision={subject.precision: macs},
    )  # fmt: skip
    lower = bound_of(work, cpu, threads).lower
    assert lower
    peak = PEAKS[cpu].ghz
    # A board may be clocked higher than its maker does.
    clock = max(peak, max(result.board.max_clocks_mhz, default=0.0) / 1e3)
    bound = lower.value * peak / clock
    found = 1e3 * float(np.median([np.median(p.samples) for p in result.protocol[threads]]))
    if found < bound:
        yield Reason.invalid(
            InvalidityCause.IMPLAUSIBLE,
            f"a median of {found:.3g} ms is faster than {threads} cores of a {cpu.title()} can "
            f"multiply: {bound:.3g} ms at least",
        )
