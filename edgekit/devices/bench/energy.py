"""The energy of an inference on a Raspberry Pi 5, from the rails that its power chip tells."""

from __future__ import annotations

import numpy as np

from edgekit.devices.agent_result import AgentResult
from edgekit.devices.bench.report import Energy, LatencyUs

BOARD_FACTOR, BOARD_WATTS = 1.145, 0.59
"""The whole board against the sum of its rails: a straight line through readings of a meter before
the supply, https://github.com/jfikar/RPi5-power. One board, and no interval."""


def energy_of(result: AgentResult, latency: LatencyUs, threads: int) -> Energy | None:
    """By the readings of the runs at the target's number of threads; None where there are none."""
    idle = result.before.watts if result.before else None
    states = [s for s in result.watched if s.phase.startswith(f"{threads} threads, ")]
    busy = [state.watts for state in states if state.watts and "timed" in state.phase]
    if idle is None or not busy:
        return None
    watts, seconds = float(np.mean(busy)), 1e-6 * latency.p50
    return Energy(
        idle_watts=idle,
        busy_watts=watts,
        per_inference_joules=seconds * watts,
        above_idle_joules=max(0.0, seconds * (watts - idle)),
        board_watts=BOARD_FACTOR * watts + BOARD_WATTS,
        method=f"mean of {len(busy)} readings of pmic_read_adc during the timed runs, by the "
        "median latency: the rails alone, without USB, HDMI, a fan and the converters' losses; the "
        f"whole board is estimated as {BOARD_FACTOR:g} times the rails and {BOARD_WATTS:g} W "
        "(github.com/jfikar/RPi5-power). Idle power is one reading before the run, and is taken "
        "off only where it says so",
    )
