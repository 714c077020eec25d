"""Runs on a staged board: a Raspberry Pi 5 that is well, and what is changed of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.devices.agent_result import (
    AgentResult,
    Board,
    Delegate,
    DeviceState,
    Environment,
    Memory,
    Process,
)
from edgekit.devices.bundle.protocol import Protocol

SILENT = Board(
    emulator=None, board=None, soc=None, isa=[], ram_bytes=None, os=None, kernel="6.6",
    page_size=4096, max_clocks_mhz=[],
)  # fmt: skip
"""A board that tells nothing."""
PROTOCOL = Protocol(runs=100, seconds=1.0, processes=2, threads=(4,))


PHASE = "4 threads, process {}: timed"


def state(at: float = 0.0, phase: str = PHASE.format(1), **changed: Any) -> DeviceState:
    told = {
        "temperature_c": 50.0,
        "clocks_mhz": [2400.0, 1500.0],
        "governors": ["ondemand"],
        "throttled": 0,
        "load_average": [0.1, 0.1, 0.1],
        "available_bytes": 10**9,
        "watts": None,
        "battery_percent": None,
    }
    return DeviceState(at=at, phase=phase, **{**told, **changed})


def process(samples: list[float] | None = None, **changed: Any) -> Process:
    noise = np.random.default_rng(0).normal(0.01, 0.0002, 150).tolist()
    facts = {
        "load": 0.1,
        "first": 0.02,
        "samples": noise if samples is None else samples,
        "began": 10.0,
        "ended": 12.0,
        "windows": [],
        "affinity": [0, 1, 2, 3],
        "memory": Memory(baseline=1, loaded=2, peak=3),
        "delegate": Delegate(asked="XNNPACK", applied="XNNPACK"),
    }
    return Process(**{**facts, **changed})


def run(
    processes: list[Process] | None = None,
    watched: list[DeviceState] | None = None,
    before: DeviceState | None = None,
    after: DeviceState | None = None,
) -> AgentResult:
    processes = processes or [process(), process()]
    seen = watched if watched is not None else [state(1.0), state(2.0)]
    # A second process is seen as the first one, unless a test says how.
    first = [one for one in seen if one.phase == PHASE.format(1)][-1:]
    if len(processes) > 1 and not any(one.phase == PHASE.format(2) for one in seen):
        seen = [*seen, *(one.model_copy(update={"phase": PHASE.format(2)}) for one in 2 * first)]
    return AgentResult(
        id="1",
        agent="a",
        started="t",
        ended="t",
        environment=Environment(machine="aarch64", cpu="cortex-a76", cores=4),
        board=SILENT,
        before=before or state(),
        after=after or state(),
        watched=seen,
        protocol={4: processes},
    )
