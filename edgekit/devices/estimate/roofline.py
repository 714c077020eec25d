"""How fast a processor could be at best: a bound that no model on it gets below (pure).

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 52(4), 2009: time is at least the arithmetic by the peak of the
cores, and at least the bytes that must come from memory by its bandwidth. Where a source leaves
doubt the higher peak stands here, so that the bound stays one. Published latencies of MobileNets on
a Raspberry Pi are two to nine times as long.

Sources: multiply-accumulates a cycle, for the Cortex-A53 from ncnn's
docs/developer-guide/arm-a53-a55-dual-issue.md (one 128-bit FMLA a cycle); for the Cortex-A72 from
LLVM's AArch64SchedA57.td, by which it schedules for both (a 128-bit FMLA takes both pipes, SMLAL
one of them alone: 8 products); for the Cortex-A76 from Arm's Software Optimization Guide (two pipes
of 128 bits; SDOT: 16 products). Clocks and caches are those of the fastest Raspberry Pi with that
core. Bandwidths are what the memory's interface gives in theory, on 32 bits: LPDDR2-1066,
LPDDR4-3200, LPDDR4X-4267.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.devices.estimate.workload import Workload
from edgekit.evidence import Bound, Evidence, Measurement


@dataclass(frozen=True)
class Peak:
    ghz: float
    cores: int
    macs_a_cycle: dict[str, int]
    """Of one core, by the type of arithmetic."""
    memory: float
    """Bytes a second."""
    cache: int
    """Bytes of all caches that can keep weights from one image to the next."""


PEAKS = {
    "cortex-a53": Peak(1.4, 4, {"int8": 8, "float32": 4}, 4.3e9, 512 << 10),
    "cortex-a72": Peak(1.8, 4, {"int8": 8, "float32": 4}, 12.8e9, 1 << 20),
    "cortex-a76": Peak(2.4, 4, {"int8": 32, "float16": 16, "float32": 8}, 17.1e9, 4 << 20),
}


def bound_of(workload: Workload, cpu: str | None, threads: int) -> Bound:
    """
    Args:
        cpu: as compilers name it; None where it is not known.
    """
    peak = PEAKS.get(cpu or "")
    lower = _lower(workload, str(cpu), peak, threads) if peak else None
    reason = f"nothing is known of the peak of {cpu}" if cpu else "the processor is not known"
    return Bound(
        macs=workload.macs,
        weight_bytes=workload.weights,
        activation_bytes=workload.moved,
        lower=lower,
        reason="" if lower else reason,
    )


def _lower(workload: Workload, cpu: str, peak: Peak, threads: int) -> Measurement:
    """time >= max(arithmetic / peak of the cores, bytes from memory / bandwidth): the two may
    overlap in full, so the larger one alone is sure. Each type of arithmetic has a peak of its own,
    and they take turns on the same pipes: their cycles add up. Activations are left out of the
    bytes, for fused operators may keep them in a cache; so are as many weights as the caches hold.
    """
    cores = min(threads, peak.cores)
    best = max(peak.macs_a_cycle.values())
    cycles = sum(macs / _rate(peak, name, best) for name, macs in workload.by_precision.items())
    arithmetic = cycles / (cores * peak.ghz * 1e9)
    memory = max(0, workload.weights - peak.cache) / peak.memory
    what = "its arithmetic" if arithmetic >= memory else "reading its weights"
    return Measurement(
        value=1e3 * max(arithmetic, memory),
        unit="ms",
        evidence=Evidence.ESTIMATED,
        method=f"roofline, a lower bound and no expected latency: {what} at the peak of {cores} "
        f"{cpu} core{'s' * (cores > 1)} at {peak.ghz:g} GHz",
    )


def _rate(peak: Peak, precision: str, best: int) -> int:
    """Half floats run as floats where there is no arithmetic of their own. A type that is not known
    gets the best rate: the bound stays one."""
    if precision == "float16":
        return peak.macs_a_cycle.get("float16", peak.macs_a_cycle["float32"])
    return peak.macs_a_cycle.get(precision, best)
