"""Whether a run on a device is a result: what makes it doubtful, and what makes it none (pure).

A doubt that can only make a figure too high is a warning; one that can hide what the device really
takes makes the run no result. docs/decisions/0015-devices.md says why drift is judged one-sided,
and where the limits of agreement and of golden scores come from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgekit.devices.agent_result import AgentResult, Delegate, Golden, Process
from edgekit.devices.bench.report import Correctness
from edgekit.devices.bench.watched import watched_reasons
from edgekit.devices.bundle.protocol import Protocol, golden_share
from edgekit.evaluation.timing import DISTURBED
from edgekit.evidence import InvalidityCause, Reason, Validity, Verdict

MAX_DRIFT = 0.05
"""Growth of the median from the first third of a process's runs to its last."""
MAX_SPREAD = 0.10
"""Between the medians of the processes, against their median."""
MIN_AGREEMENT = 99.0
"""Percent of images on which another processor must give the host's class, at the upper end of
the interval: integer kernels round alike but for ties, so what differs more is another model."""
MIN_IMAGES = 100
"""Below these a single tie would decide; the golden scores must do."""
MIN_DELEGATED = 0.9
"""Share of the nodes: with fewer, the figure is as much the CPU's as the delegate's."""
MAX_MEAN = 1.2
"""Times the median that the mean may be: a few runs that wait long show there, and not in p90."""
MIN_SECONDS = 0.99
"""Of the seconds requested: the clock is read after a run, so the last one may fall short."""


def timing_reasons(result: AgentResult, protocol: Protocol) -> Iterator[Reason]:
    """Doubts about the latency, at the target's number of threads."""
    threads = protocol.threads[0]
    processes = result.protocol[threads]
    yield from watched_reasons(result)
    yield from delegate_reasons(processes[0].delegate)
    yield from _too_few_runs(processes, protocol)
    yield from _drift_reasons(processes)
    yield from spread_reasons([float(np.median(p.samples)) for p in processes])
    yield from _busy_meanwhile(processes)
    yield from busy_before(result)
    yield from _too_many_threads(result, threads)
    yield from _interleaved(result)


def busy_before(result: AgentResult) -> Iterator[Reason]:
    """Other jobs that were at work as the run began."""
    load = result.before.load_average[:1] if result.before else []
    cores = result.environment.cores or 1
    if load and load[0] > 0.5 * cores:
        yield Reason.warning(
            InvalidityCause.BUSY,
            f"the load average was {load[0]:.1f} on {cores} cores before the run",
        )


def delegate_reasons(delegate: Delegate) -> Iterator[Reason]:
    if delegate.asked not in delegate.applied:
        yield Reason.invalid(
            InvalidityCause.FALL_BACK,
            f"{delegate.asked} was asked to run the model, {delegate.applied} ran it",
        )
        return
    inside, total = delegate.nodes_delegated, delegate.nodes_total
    if inside is not None and total and inside < MIN_DELEGATED * total:
        yield Reason.warning(
            InvalidityCause.PARTLY_DELEGATED,
            f"{delegate.applied} runs {inside} of {total} nodes; the others run without it",
        )


def _too_few_runs(processes: list[Process], protocol: Protocol) -> Iterator[Reason]:
    for number, process in enumerate(processes, 1):
        spent = process.ended - process.began
        if len(process.samples) < protocol.runs or spent < MIN_SECONDS * protocol.seconds:
            yield Reason.invalid(
                InvalidityCause.TOO_FEW_RUNS,
                f"process {number} made {len(process.samples)} runs in {spent:.1f} s; "
                f"{protocol.runs} and {protocol.seconds:g} s were asked",
            )


def _drift_reasons(processes: list[Process]) -> Iterator[Reason]:
    drifts = [_drift(process) for process in processes]
    message = "in one process the last third of the runs took {:+.1f} % against the first"
    if max(drifts) > MAX_DRIFT:
        yield Reason.invalid(InvalidityCause.DRIFT, message.format(100 * max(drifts)))
    elif min(drifts) < -MAX_DRIFT:
        # Runs that grow faster began before the warm-up was over: too high a figure, not too low.
        yield Reason.warning(InvalidityCause.DRIFT, message.format(100 * min(drifts)))


def _drift(process: Process) -> float:
    third = max(1, len(process.samples) // 3)
    first, last = np.median(process.samples[:third]), np.median(process.samples[-third:])
    return float(last / first - 1)


def spread_reasons(medians: list[float]) -> Iterator[Reason]:
    """Processes that were started one after another, and should take the same time."""
    # A phone's tool tells whole microseconds, which may be 0.
    spread = (max(medians) - min(medians)) / max(float(np.median(medians)), 1e-9)
    if spread > MAX_SPREAD:
        yield Reason.invalid(
            InvalidityCause.SPREAD, f"the processes' medians differ by {100 * spread:.0f} %"
        )


def _busy_meanwhile(processes: list[Process]) -> Iterator[Reason]:
    runs = [sample for process in processes for sample in process.samples]
    p50, p90 = np.percentile(runs, (50, 90))
    mean = float(np.mean(runs))
    if p90 > DISTURBED * p50 or mean > MAX_MEAN * p50:
        yield Reason.invalid(
            InvalidityCause.BUSY,
            f"other jobs were at work: the 90th percentile is {p90 / p50:.1f} times the median, "
            f"the mean {mean / p50:.2f} times",
        )


def _too_many_threads(result: AgentResult, threads: int) -> Iterator[Reason]:
    """They wait for each other, which looks like another job."""
    cores = result.environment.cores or threads
    if threads > cores:
        yield Reason.warning(
            InvalidityCause.BUSY,
            f"{threads} threads on {cores} cores wait for each other: --threads {cores}",
        )


def _interleaved(result: AgentResult) -> Iterator[Reason]:
    """The run beside the float model is held to the rule of the host's."""
    for name, entry in result.latency.items():
        p50, p90 = np.percentile(entry.rounds, (50, 90))
        if p90 > DISTURBED * p50:
            yield Reason.invalid(
                InvalidityCause.BUSY,
                f"other jobs were at work as {name} was timed against float: the 90th percentile "
                f"is {p90 / p50:.1f} times the median",
            )


def result_reasons(correctness: Correctness, precision: str) -> Iterator[Reason]:
    """Doubts about what a model of a precision computed there."""
    complaint = golden_complaint(correctness.golden, precision) if correctness.golden else None
    if complaint:
        yield Reason.invalid(InvalidityCause.WRONG_RESULT, complaint)
    agreement, change = correctness.agreement, correctness.change
    if agreement is None or (agreement.samples or 0) < MIN_IMAGES:
        return
    if agreement.high is not None and agreement.high < MIN_AGREEMENT:
        yield Reason.invalid(
            InvalidityCause.DIFFERS_FROM_HOST,
            f"{agreement.value:.1f} % of {agreement.samples} images are given the host's class "
            f"({agreement.low:.1f} to {agreement.high:.1f}); {MIN_AGREEMENT:g} expected",
        )
    elif change and change.verdict is Verdict.WORSE:
        yield Reason.invalid(
            InvalidityCause.DIFFERS_FROM_HOST,
            f"accuracy is lower than on the host by {change.drop.value:.1f} points "
            f"({change.drop.low:.1f} to {change.drop.high:.1f}, p {change.mcnemar_p:.3f})",
        )


def golden_complaint(golden: Golden, precision: str) -> str | None:
    """Why scores are not those that the build kept; None where they are."""
    limit = golden_share(precision) * golden.spread
    if golden.max_abs_diff <= limit:
        other = golden.images - golden.same_top1
        return (
            f"{other} of {golden.images} golden images are given another class" if other else None
        )
    return (
        f"the scores of {golden.images} golden images differ by up to {golden.max_abs_diff:.3g} "
        f"from those of the build; at most {limit:.3g} expected"
    )


def verdict(reasons: list[Reason]) -> Validity:
    """The worst of them."""
    order = [Validity.OK, Validity.WARN, Validity.INVALID]
    return max((r.validity for r in reasons), key=order.index, default=Validity.OK)
