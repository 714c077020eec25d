"""Whether a run on a device is a result: what makes it doubtful, and what makes it none (pure)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgekit.devices.agent_result import (
    NOW_BITS,
    AgentResult,
    Delegate,
    DeviceState,
    Golden,
    Process,
)
from edgekit.devices.bench.report import Correctness
from edgekit.devices.bundle.protocol import Protocol
from edgekit.evaluation.metrics import DISTURBED
from edgekit.evidence import InvalidityCause, Reason, Validity, Verdict

CLOCK_FELL = 0.95
"""Of the highest clock seen: governors step by more than this, and a steady clock stays above."""
DRIFT = 0.05
"""Growth of the median from the first third of a process's runs to its last."""
SPREAD = 0.10
"""Between the medians of the processes, against their median."""
LEAST_AGREEMENT = 99.0
"""Percent of images on which another processor must give the host's class, at the upper end of
the interval: integer kernels round alike but for ties, so what differs more is another model."""
LEAST_IMAGES = 100
"""Below these a single tie would decide; the golden scores must do."""
GOLDEN_INT8, GOLDEN_FLOAT = 0.1, 0.01
"""Of the spread of the golden scores: int8 kernels differ by a few steps of the output's scale."""
LEAST_DELEGATED = 0.9
LOST_TIME = 1.2
"""Times the median that the mean may be: a few runs that wait long show there, and not in p90."""
TIMED = ("timed", "latency")
"""How the phases end in which runs are timed."""
ALL_BITS = 0xFFFFF
SINCE_START = 16
UNPAUSED = "without a pause"
"""The phase of the run that heats the board on purpose."""


def timing_reasons(raw: AgentResult, protocol: Protocol) -> Iterator[Reason]:
    """Doubts about the latency, at the target's number of threads."""
    processes = raw.protocol[protocol.threads[0]]
    yield from watched_reasons(raw)
    yield from delegate_reasons(processes[0].delegate)
    yield from _samples(processes, protocol)
    yield from busy_before(raw)
    yield from _too_many_threads(raw, protocol.threads[0])
    yield from _interleaved(raw)


def watched_reasons(raw: AgentResult) -> Iterator[Reason]:
    """What slowed the device down while it was watched, whatever ran."""
    yield from _throttled(raw)
    yield from _clocks(raw)
    yield from _unwatched(raw)


def busy_before(raw: AgentResult) -> Iterator[Reason]:
    """Other jobs that were at work as the run began."""
    load = raw.before.load_average[:1] if raw.before else []
    cores = raw.environment.get("cores") or 1
    if load and load[0] > 0.5 * cores:
        words = f"the load average was {load[0]:.1f} on {cores} cores before the run"
        yield Reason(cause=InvalidityCause.BUSY, validity=Validity.WARN, words=words)


def _watched(raw: AgentResult) -> list[DeviceState]:
    """The states seen, without those of a run without a pause: that may heat the board."""
    return [state for state in raw.watched if not state.phase.startswith(UNPAUSED)]


def _unwatched(raw: AgentResult) -> Iterator[Reason]:
    seen = [*filter(None, (raw.before, raw.after)), *_watched(raw)]
    words = ""
    if all(s.throttled is None and s.temperature_c is None and not s.clocks_mhz for s in seen):
        words = "the device tells neither temperature, clocks nor throttling: a run that was "
        words += "slowed down would not be noticed but by its drift"
    elif any(s.throttled is not None for s in seen) and any(s.throttled is None for s in seen):
        words = "the device did not always tell its throttle bits"
    elif raw.watch_failure:
        words = f"the device could not always be watched: {raw.watch_failure}"
    if words:
        yield Reason(cause=InvalidityCause.UNWATCHED, validity=Validity.WARN, words=words)


def _throttled(raw: AgentResult) -> Iterator[Reason]:
    """Bits that were set while it ran, or that came to be set since it began."""
    told = raw.before.throttled if raw.before else None
    before = ALL_BITS if told is None else told  # what was set long ago cannot be told apart
    during = 0
    for state in _watched(raw):
        during |= state.throttled or 0
    after = (raw.after.throttled if raw.after else None) or 0
    for bit, name in NOW_BITS.items():
        now = (during | after) >> bit & 1
        since = (during | after) & ~before
        if now or since >> (bit + SINCE_START) & 1:
            earlier = "not told" if told is None else f"{told:#x}"
            words = f"{name} during the run (bits {during | after:#x}, {earlier} before)"
            yield Reason(cause=InvalidityCause.THROTTLED, validity=Validity.INVALID, words=words)


def _clocks(raw: AgentResult) -> Iterator[Reason]:
    """The fastest core is the one that works, under any governor; unless an NPU does."""
    if raw.environment.get("devices"):
        return
    timed = [s for s in _watched(raw) if s.clocks_mhz and s.phase.endswith(TIMED)]
    clocks = [max(s.clocks_mhz) for s in timed]
    # One thread may turbo higher than four: each number of threads is held to itself.
    for work in dict.fromkeys(map(_work, timed)):
        seen = [max(s.clocks_mhz) for s in timed if _work(s) == work]
        if min(seen) < CLOCK_FELL * max(seen):
            words = f"the clock fell from {max(seen):.0f} to {min(seen):.0f} MHz in the timed runs "
            words += f"({work})"
            yield Reason(
                cause=InvalidityCause.FREQUENCY_FELL, validity=Validity.INVALID, words=words
            )
    highest = max(raw.board.get("max_clocks_mhz") or [0.0])
    if clocks and max(clocks) < CLOCK_FELL * highest:
        governors = ", ".join(sorted({g for g in timed[0].governors if g})) or "not told"
        words = f"the clock was {max(clocks):.0f} of {highest:.0f} MHz at most (governor "
        words += f"{governors}): the figure is that clock's"
        yield Reason(cause=InvalidityCause.SLOW_CLOCK, validity=Validity.WARN, words=words)


def _work(state: DeviceState) -> str:
    """`4 threads` of the phase `4 threads, process 1: timed`; `interleaved`."""
    return state.phase.partition(":")[0].partition(",")[0]


def delegate_reasons(delegate: Delegate) -> Iterator[Reason]:
    if delegate.asked not in delegate.applied:
        words = f"{delegate.asked} was asked to run the model, {delegate.applied} ran it"
        yield Reason(cause=InvalidityCause.FALL_BACK, validity=Validity.INVALID, words=words)
        return
    inside, total = delegate.nodes_delegated, delegate.nodes_total
    if inside is not None and total and inside < LEAST_DELEGATED * total:
        words = f"{delegate.applied} runs {inside} of {total} nodes; the others run without it"
        yield Reason(cause=InvalidityCause.PARTLY_DELEGATED, validity=Validity.WARN, words=words)


def _samples(processes: list[Process], protocol: Protocol) -> Iterator[Reason]:
    medians = [float(np.median(p.samples)) for p in processes]
    for number, process in enumerate(processes, 1):
        spent = process.ended - process.began
        if len(process.samples) < protocol.runs or spent < 0.99 * protocol.seconds:
            words = f"process {number} made {len(process.samples)} runs in {spent:.1f} s; "
            words += f"{protocol.runs} and {protocol.seconds:g} s were asked"
            yield Reason(cause=InvalidityCause.TOO_FEW_RUNS, validity=Validity.INVALID, words=words)
    drifts = [_drift(process) for process in processes]
    if max(drifts) > DRIFT:
        yield _drifted(max(drifts), Validity.INVALID)
    elif min(drifts) < -DRIFT:
        # Runs that grow faster began before the warm-up was over: too high a figure, not too low.
        yield _drifted(min(drifts), Validity.WARN)
    yield from spread_reasons(medians)
    runs = [s for p in processes for s in p.samples]
    p50, p90 = np.percentile(runs, (50, 90))
    mean = float(np.mean(runs))
    if p90 > DISTURBED * p50 or mean > LOST_TIME * p50:
        words = (
            f"other jobs were at work: the 90th percentile is {p90 / p50:.1f} times the median, "
        )
        words += f"the mean {mean / p50:.2f} times"
        yield Reason(cause=InvalidityCause.BUSY, validity=Validity.INVALID, words=words)


def spread_reasons(medians: list[float]) -> Iterator[Reason]:
    """Processes that were started one after another, and should take the same time."""
    spread = (max(medians) - min(medians)) / float(np.median(medians))
    if spread > SPREAD:
        words = f"the processes' medians differ by {100 * spread:.0f} %"
        yield Reason(cause=InvalidityCause.SPREAD, validity=Validity.INVALID, words=words)


def _too_many_threads(raw: AgentResult, threads: int) -> Iterator[Reason]:
    """They wait for each other, which looks like another job."""
    cores = raw.environment.get("cores") or threads
    if threads > cores:
        words = f"{threads} threads on {cores} cores wait for each other: --threads {cores}"
        yield Reason(cause=InvalidityCause.BUSY, validity=Validity.WARN, words=words)


def _interleaved(raw: AgentResult) -> Iterator[Reason]:
    """The run beside the float model is held to the rule of the host's."""
    for name, entry in raw.latency.items():
        p50, p90 = np.percentile(entry.rounds, (50, 90))
        if p90 > DISTURBED * p50:
            words = f"other jobs were at work as {name} was timed against float: the 90th "
            words += f"percentile is {p90 / p50:.1f} times the median"
            yield Reason(cause=InvalidityCause.BUSY, validity=Validity.INVALID, words=words)


def _drifted(drift: float, validity: Validity) -> Reason:
    words = f"in one process the last third of the runs took {100 * drift:+.1f} % against the first"
    return Reason(cause=InvalidityCause.DRIFT, validity=validity, words=words)


def _drift(process: Process) -> float:
    third = max(1, len(process.samples) // 3)
    first, last = np.median(process.samples[:third]), np.median(process.samples[-third:])
    return float(last / first - 1)


def result_reasons(correctness: Correctness, precision: str) -> Iterator[Reason]:
    """Doubts about what a model of a precision computed there."""
    wrong = golden_complaint(correctness.golden, precision) if correctness.golden else None
    if wrong:
        yield Reason(cause=InvalidityCause.WRONG_RESULT, validity=Validity.INVALID, words=wrong)
    agreement, change = correctness.agreement, correctness.change
    if agreement is None or (agreement.samples or 0) < LEAST_IMAGES:
        return
    if agreement.high is not None and agreement.high < LEAST_AGREEMENT:
        words = f"{agreement.value:.1f} % of {agreement.samples} images are given the host's class "
        words += f"({agreement.low:.1f} to {agreement.high:.1f}); {LEAST_AGREEMENT:g} expected"
        yield Reason(
            cause=InvalidityCause.DIFFERS_FROM_HOST, validity=Validity.INVALID, words=words
        )
    elif change and change.verdict is Verdict.WORSE:
        words = f"accuracy is lower than on the host by {change.drop.value:.1f} points "
        words += f"({change.drop.low:.1f} to {change.drop.high:.1f}, p {change.mcnemar_p:.3f})"
        yield Reason(
            cause=InvalidityCause.DIFFERS_FROM_HOST, validity=Validity.INVALID, words=words
        )


def golden_complaint(golden: Golden, precision: str) -> str | None:
    """Why scores are not those that the build kept; None where they are."""
    share = GOLDEN_FLOAT if precision.startswith("float") else GOLDEN_INT8
    limit = share * golden.spread
    if golden.max_abs_diff <= limit:
        return None
    return (
        f"the scores of {golden.images} golden images differ by up to {golden.max_abs_diff:.3g} "
        f"from those of the build; at most {limit:.3g} expected"
    )


def verdict(reasons: list[Reason]) -> Validity:
    """The worst of them."""
    order = [Validity.OK, Validity.WARN, Validity.INVALID]
    return max((r.validity for r in reasons), key=order.index, default=Validity.OK)
