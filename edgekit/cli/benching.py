"""Commands that read what a model does on a device: bench, import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from edgekit.cli._devices import binary_option, group_option, measuring
from edgekit.cli._options import FILE, debug_option, json_option, progress_option, store_option
from edgekit.cli._output import say, say_json
from edgekit.cli.completing import complete_devices
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.api.results import BenchResult
    from edgekit.devices.bench.fleet_report import FleetReport
    from edgekit.devices.bench.report import DeviceReport
    from edgekit.evaluation.operator_table import OperatorTable

out_option = click.option("--out", type=FILE, default=None, help="Where the report goes.")


@click.command()
@measuring
@click.argument("artifacts", metavar="ARTIFACT...", type=FILE, nargs=-1, required=True)
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="A name in the inventory; may be given more than once.",
    shell_complete=complete_devices,
)
@group_option
@binary_option
@click.option(
    "--engine",
    type=click.Choice(["CPU", "GPU", "NPU"]),
    default="CPU",
    show_default=True,
    help="What runs the model, by benchmark_model.",
)
@click.option("--operators", is_flag=True, help="Time each operator there too.")
@out_option
@store_option
@progress_option
@json_option
@debug_option
def bench(
    artifacts: tuple[Path, ...],
    devices: tuple[str, ...],
    group: tuple[str, ...],
    binary: Path | None,
    engine: Literal["CPU", "GPU", "NPU"],
    operators: bool,
    out: Path | None,
    store: Path | None,
    progress: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a model on a device, and whether to believe it.

    \b
        edgekit bench build/photos/rpi --device pi5
        edgekit bench build/photos/rpi build/birds/rpi --group pi5s

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, a bundle or any model file.
    Several devices of one kind share the measuring: the first artifact is measured on all of them,
    each of the others on whichever is free.
    """
    from edgekit.api import bench as run
    from edgekit.cli._progress import watching
    from edgekit.cli.console import Console

    if not devices and not group:
        raise InputError("no device is named", hint="--device NAME; edgekit device list has them")
    if group or len(devices) > 1 or len(artifacts) > 1:
        if binary or engine != "CPU" or operators:
            raise InputError(
                "--benchmark-binary, --engine and --operators are of one artifact on one --device"
            )
        options["store"] = store
        _fleet(artifacts, devices, group, out, progress, as_json, **options)
        return
    with Console(quiet=as_json) as console:
        found = run(
            artifacts[0],
            devices[0],
            benchmark_binary=binary,
            engine=engine,
            operators=operators,
            out=out,
            store=store,
            observer=watching(progress, console),
            **options,
        )
    _report(found, as_json)


def _fleet(
    artifacts: tuple[Path, ...],
    devices: tuple[str, ...],
    group: tuple[str, ...],
    out: Path | None,
    progress: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    from edgekit.api import bench_fleet
    from edgekit.cli._progress import watching
    from edgekit.cli.console import Console

    with Console(quiet=as_json) as console:
        observer = watching(progress, console)
        found = bench_fleet(artifacts, devices, groups=group, out=out, observer=observer, **options)
    if as_json:
        say_json(found)
    else:
        for line in _fleet_lines(found):
            say(line)
        say(f"Report: {(out or Path('build/devices/fleet')) / 'fleet.html'}")
    found.check()


def _fleet_lines(report: FleetReport) -> Iterator[str]:
    from edgekit.evidence import interval

    for run in report.runs:
        told = f"{interval(run.median, 2)} ms" if run.median else "no latency"
        yield f"{run.artifact} on {run.device}: {run.validity}, {told}"
    if report.spread:
        yield f"{report.spread.artifact} on {report.spread.sentence}"
    yield from (f"set aside: {name}: {why}" for name, why in report.set_aside.items())
    yield from (f"not measured: {name}: {why}" for name, why in report.failed.items())


@click.command(name="import")
@click.argument("result", type=FILE)
@click.option("--bundle", "bundle_path", type=FILE, help="Where it does not lie beside the result.")
@click.option("--device", help="What to call the device it was made on.  [default: its board]")
@out_option
@store_option
@json_option
@debug_option
def import_(
    result: Path,
    bundle_path: Path | None,
    device: str | None,
    out: Path | None,
    store: Path | None,
    as_json: bool,
) -> None:
    """Read what run.sh of a bundle left, checked as bench does.

    \b
        edgekit import result.json --bundle bundle.tar
    """
    from edgekit.api import import_result
    from edgekit.cli._progress import OnStderr

    found = import_result(
        result, bundle=bundle_path, device=device, out=out, store=store, observer=OnStderr()
    )
    _report(found, as_json)


def _report(found: BenchResult, as_json: bool) -> None:
    """
    Raises:
        DeviceError: the run is no result.
    """
    if as_json:
        say_json(found.report)
    else:
        for line in _lines(found.report):
            say(line)
        say(f"Report: {found.page}")
    found.check()


def _lines(report: DeviceReport) -> Iterator[str]:
    """A device report in a few lines."""
    from edgekit.evidence import FEW_IMAGES, in_images, interval

    where = f"{report.artifact.file} on {report.device.name} ({report.device.cpu})"
    yield f"{where}: {report.validity}, evidence: {report.evidence}"
    found, times = report.correctness, report.latency_us
    if found.top1 and found.host_top1:
        yield f"top-1 {interval(found.top1)} %, on the host {found.host_top1.value:.1f} %"
    if found.agreement:
        images = found.agreement.samples
        yield f"same class as on the host: {interval(found.agreement)} % of {images} images"
    if found.change:
        drop = found.change.drop
        few = (drop.samples or 0) <= FEW_IMAGES
        counted = f" ({in_images(drop)})" if few else ""
        yield f"against the host: {interval(drop)} points{counted}, {found.change.verdict}"
    if times and report.invalid():
        yield "latency: no result"
    elif times:
        spread = f"{min(times.medians) / 1e3:.2f} to {max(times.medians) / 1e3:.2f}"
        yield (
            f"median {times.p50 / 1e3:.2f} ms at {report.runtime.threads} threads, {spread} in "
            f"{len(times.medians)} processes; p95 {times.p95 / 1e3:.2f} ms"
        )
    else:
        yield f"latency: not measured, {report.not_available['latency_us']}"
    if report.operators:
        yield _slowest(report.operators)
    for reason in report.reasons:
        yield f"{reason.validity}: {reason.cause}: {reason.words}"


def _slowest(table: OperatorTable) -> str:
    slowest = table.operators[:3]
    named = (f"{o.name} ({o.kind}, {o.precision}) {100 * o.share:.0f} %" for o in slowest)
    return f"slowest operators there: {', '.join(named)}"
