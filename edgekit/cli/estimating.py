"""Latency without measuring the model itself: calibrate a device once, estimate from then on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli._options import FILE, debug_option, json_option
from edgekit.cli._output import say, say_json
from edgekit.devices.limits import MOST_THREADS

if TYPE_CHECKING:
    from edgekit.cycle_model.file_estimate import CycleEstimate
    from edgekit.devices.estimate.estimate import Estimate
    from edgekit.devices.estimate.latency_model import LatencyModel

threads_option = click.option(
    "--threads", type=click.IntRange(1, MOST_THREADS), help="Of the inference."
)


@click.command()
@click.option("--device", required=True, help="A name in the inventory.")
@click.option("--runtime", "runtimes", multiple=True, help="litert and onnxruntime by default.")
@click.option("--threads", type=click.IntRange(1, MOST_THREADS), default=4, show_default=True)
@json_option
@debug_option
def calibrate(device: str, runtimes: tuple[str, ...], threads: int, as_json: bool) -> None:
    """Measure probe models on a device, for estimate.

    \b
        edgekit calibrate --device pi5
    """
    from edgekit.api import calibrate as run
    from edgekit.cli.console import Console
    from edgekit.devices.estimate.calibrate import calibration_path

    with Console(quiet=as_json) as console:
        found = run(device, runtimes=runtimes, threads=threads, observer=console)
    if as_json:
        say_json(found)
        return
    for line in _calibration_lines(found):
        say(line)
    say(f"Kept: {calibration_path(device)}")


@click.command()
@click.argument("artifact", type=FILE)
@click.option("--device", help="A name in the inventory.")
@click.option("--target", help="A target, or a YAML file of one.")
@click.option("--against", type=FILE, help="With --target: another model, for a ratio.")
@threads_option
@json_option
@debug_option
def estimate(
    artifact: Path,
    device: str | None,
    target: str | None,
    against: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Say what a model would take on a device, or takes at least.

    \b
        edgekit estimate build/photos/rpi --device pi5
        edgekit estimate build/photos/rpi5 --target rpi5
        edgekit estimate int8.tflite --target rpi5 --against float.tflite

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, or a model file. With
    --target its instructions are counted under qemu-user, for one thread.
    """
    from edgekit.api import estimate as run
    from edgekit.cli._progress import OnStderr

    found = run(
        artifact,
        device=device,
        target=target,
        against=against,
        threads=threads,
        observer=OnStderr(),
    )
    if as_json:
        say_json(found)
        return
    for line in _estimate_lines(found):
        say(line)


def _calibration_lines(found: LatencyModel) -> Iterator[str]:
    yield f"{found.device}: {found.cpu}, {found.cores} cores, kernel {found.kernel}"
    for one in found.fits:
        span = [sample.seconds for sample in one.samples]
        yield (
            f"{one.runtime} {one.precision}, {one.threads} threads, {one.library}: "
            f"{len(one.samples)} probes of {1e3 * min(span):.2f} to {1e3 * max(span):.2f} ms; left "
            f"out, predicted {100 * one.median_error:.0f} % off in the median, nine in ten within "
            f"{100 * one.error:.0f} %"
        )
        if scale := one.cycle_scale:
            yield (
                f"  estimates from counted instructions, times {scale.value:.2f}: {scale.low:.2f} "
                f"to {scale.high:.2f} over {scale.probes} probes"
            )
    for line in found.warnings:
        yield f"warn: {line}"


def _estimate_lines(found: Estimate) -> Iterator[str]:
    from edgekit.evidence import interval

    work = found.workload
    threads = f"{found.threads} thread{'s' * (found.threads > 1)}"
    yield f"{found.file}: {found.runtime} {found.precision}, {threads}, evidence: estimated"
    yield (
        f"{work.macs / 1e6:.1f} million multiply-accumulates, {work.weights / 1e6:.2f} MB of "
        f"weights, {work.moved / 1e6:.2f} MB of activations, {work.operators} operators"
    )
    if found.counted and not found.scaled:
        yield from _counted_lines(found, found.counted)
        return
    if found.latency:
        yield f"latency: {interval(found.latency, 2)} ms, estimated {found.latency.method}"
        if found.scaled:
            yield f"by its instructions: {interval(found.scaled, 2)} ms, {found.scaled.method}"
        if not found.library:
            yield "The device could not be asked whether it still has that version."
        return
    yield f"latency: no estimate: {found.reason}"
    if found.bound and found.bound.lower:
        least = found.bound.lower
        yield f"at least {least.value:.2f} ms on {found.bound_of}: {least.method}"
    elif found.bound:
        yield f"no lower bound: {found.bound.reason}"
    if found.advice:
        yield f"For an estimate: {found.advice}"


def _counted_lines(found: Estimate, counted: CycleEstimate) -> Iterator[str]:
    from edgekit.evidence import interval

    digits = 1 if counted.latency.value >= 10 else 3
    cycles, total = counted.cycles, counted.cycles.instructions
    shares = (f"{name} {100 * n / total:.0f} %" for name, n in cycles.by_class.items())
    yield (
        f"latency: {interval(counted.latency, digits)} ms on a {counted.board} with one thread, "
        "estimated"
    )
    yield (
        f"{total / 1e6:.1f} million instructions of {counted.library}, {counted.ipc:.2f} a cycle: "
        f"{', '.join(shares)}"
    )
    yield f"{100 * counted.memory_share:.0f} % of the time for cache lines from further away"
    yield from _operator_lines(counted)
    if found.bound and found.bound.lower:
        least = found.bound.lower
        yield f"at least {least.value:.2f} ms: {least.method}"
    if found.ratio:
        yield f"{interval(found.ratio, 2)} times the latency of {found.against}, estimated"
    yield f"method: {counted.latency.method}"
    if cycles.cpu_seconds:
        yield f"counting took {cycles.cpu_seconds:.0f} s of CPU time once, and is kept"


def _operator_lines(counted: CycleEstimate) -> Iterator[str]:
    if counted.no_operators:
        yield f"which operators take it is not known: {counted.no_operators}"
    if shares := counted.operators:
        yield "operators, in percent of the estimate:"
        for one in shares.slowest:
            yield f"{100 * one.share:5.1f}  {one.name} ({one.kind})"
        yield f"{100 * shares.others:5.1f}  {shares.unnamed} others"
        yield f"{100 * shares.rest:5.1f}  the runtime around them"
