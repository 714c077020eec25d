"""Commands that take a model to a device: bundle, deploy, rollback, bench, import."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._options import FILE, debug_option, json_option, store_option, triple
from edgekit.errors import DeviceError, InputError

if TYPE_CHECKING:
    from edgekit.artifact import Store
    from edgekit.devices.bundling import Wanted
    from edgekit.devices.deploy import Outcome
    from edgekit.devices.report import DeviceReport
    from edgekit.transports.base import Transport

device_option = click.option(
    "--device", "devices", multiple=True, required=True, help="A name in the inventory."
)
out_option = click.option("--out", type=FILE, default=None, help="Where the report goes.")


def _seconds(_: Any, option: Any, text: str | None) -> float:
    """90, 90s, 15m or 1h."""
    if text is None:
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not found:
        raise InputError(f"--{option.name}: a time such as 90s, 15m or 1h expected, not {text}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def _measuring(command: Callable[..., None]) -> Callable[..., None]:
    """How a model is measured, for the commands that make a bundle."""
    for option in (
        click.option("--threads", type=click.IntRange(1, 64), help="Instead of the target's."),
        click.option("--strict", is_flag=True, help="1024 runs and 60 s at least, as in MLPerf."),
        click.option(
            "--sustained", callback=_seconds, help="Also run without a pause so long: 15m."
        ),
        click.option("--images", type=FILE, help="A folder of images, for a file from elsewhere."),
        click.option("--mean", callback=triple, help="Of a float input: 0.5 or 0.5,0.5,0.5"),
        click.option("--std", callback=triple, help="The same for the standard deviation."),
    ):
        command = option(command)
    return command


def _wanted(strict: bool, sustained: float, **words: Any) -> Wanted:
    from edgekit.devices.bundling import Wanted
    from edgekit.devices.protocol import STRICT, Protocol

    protocol = STRICT if strict else Protocol()
    return Wanted(protocol.model_copy(update={"sustained_seconds": sustained}), **words)


def _store(store: Path | None) -> Store:
    from edgekit.artifact import Store, default_store

    return Store(store or default_store())


def _transports(names: tuple[str, ...]) -> dict[str, Transport]:
    from edgekit.devices.inventory import find_device

    if len(set(names)) < len(names):
        raise InputError("--device: a device is named twice")
    return {name: find_device(name) for name in names}


@click.command()
@_measuring
@click.argument("artifact", type=FILE)
@click.option("--out", type=FILE, required=True, help="A folder to make, or a file that ends .tar.")
@store_option
@debug_option
def bundle(artifact: Path, out: Path, store: Path | None, **words: Any) -> None:
    """Make a bundle to carry to a device: on it, `sh run.sh` checks and measures the model.

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, or a model file.
    """
    from edgekit.devices.bundling import bundle_of
    from edgekit.devices.carry import write_out

    with bundle_of(artifact, _store(store), _wanted(**words)) as made:
        write_out(made, out)
        click.echo(f"{out}: {made.info.subject.file}, {made.info.images} images, release "
                   f"{made.release()[:16]}")  # fmt: skip
    if out.suffix != ".tar":
        click.echo(f"On the device: sh {out.name}/run.sh. At home: edgekit import result.json")


@click.command()
@_measuring
@click.argument("artifact", type=FILE)
@device_option
@click.option("--keep", type=click.IntRange(1), default=3, show_default=True, help="Releases.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@store_option
@json_option
@debug_option
def deploy(
    artifact: Path,
    devices: tuple[str, ...],
    keep: int,
    dry_run: bool,
    store: Path | None,
    as_json: bool,
    **words: Any,
) -> None:
    """Put a model in use on one or more devices, once it has given the golden scores there.

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, a bundle or a model file.
    """
    from edgekit.devices.bundling import bundle_of
    from edgekit.devices.deploy import Deployment, on_each

    transports = _transports(devices)
    with bundle_of(artifact, _store(store), _wanted(**words)) as made:
        release = made.release()
        deployment = Deployment(made, release, keep, dry_run)
        outcomes = on_each(transports, deployment.to, release)
    _tell(outcomes, as_json)


@click.command()
@click.argument("name")
@device_option
@json_option
@debug_option
def rollback(name: str, devices: tuple[str, ...], as_json: bool) -> None:
    """Put the release before the one in use back in use. NAME is the recipe's."""
    from edgekit.devices.deploy import Place, on_each

    def back(device: Any) -> Outcome:
        return Place(device, name).roll_back(lambda *_: None)

    _tell(on_each(_transports(devices), back), as_json)


def _tell(outcomes: list[Outcome], as_json: bool) -> None:
    """A line a device; any failure is the command's."""
    if as_json:
        click.echo(json.dumps([one.as_json() for one in outcomes], indent=1))
    for one in outcomes if not as_json else ():
        sent = f", {one.sent_bytes / 1e6:.2f} MB sent" if one.sent_bytes else ""
        what = f" {one.release[:16]}{sent}, {one.seconds:.1f} s" if not one.error else ""
        click.echo(f"{one.device}: {one.state}{what}")
    failed = [one for one in outcomes if one.error]
    if not failed:
        return
    words = "; ".join(e.message for one in failed if (e := one.error))
    first = failed[0].error
    failure = DeviceError(words, hint=first.hint if first else None)
    failure.exit_code = first.exit_code if first else failure.exit_code
    raise failure


@click.command()
@_measuring
@click.argument("artifact", type=FILE)
@click.option("--device", required=True, help="A name in the inventory.")
@click.option("--benchmark-binary", "binary", type=FILE, help="Of a phone: its benchmark_model.")
@click.option(
    "--engine",
    type=click.Choice(["CPU", "GPU", "NPU"]),
    default="CPU",
    show_default=True,
    help="What runs the model, by benchmark_model.",
)
@out_option
@store_option
@json_option
@debug_option
def bench(
    artifact: Path,
    device: str,
    binary: Path | None,
    engine: str,
    out: Path | None,
    store: Path | None,
    as_json: bool,
    **words: Any,
) -> None:
    """Measure a model on a device: accuracy, latency, and whether to believe them.

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, a bundle or any model file.
    """
    from edgekit.console import Console
    from edgekit.devices.bench import bench as run
    from edgekit.devices.benchmark_model import Benchmark
    from edgekit.devices.bundling import bundle_of
    from edgekit.devices.device import Device
    from edgekit.devices.phone_bench import bench_phone

    if binary is None and engine != "CPU":
        raise InputError(
            f"--engine {engine}: a phone's {engine} is measured by its benchmark_model",
            hint="name the binary: --benchmark-binary FILE",
        )
    tool = Benchmark.model_validate({"binary": binary, "engine": engine}) if binary else None
    transport = _transports((device,))[device]
    wanted, where = _wanted(**words), _store(store)
    with Console(quiet=as_json) as console, bundle_of(artifact, where, wanted) as made:
        with Device(device, transport) as opened:
            report = (
                bench_phone(made, opened, tool, console.working)
                if tool
                else run(made, opened, console.working)
            )
        _report(report, out or Path("build/devices") / device / made.info.name, as_json)


@click.command(name="import")
@click.argument("result", type=FILE)
@click.option("--bundle", "bundle_path", type=FILE, help="Where it does not lie beside the result.")
@click.option("--device", default="device", help="What to call the device it was made on.")
@out_option
@json_option
@debug_option
def import_(
    result: Path, bundle_path: Path | None, device: str, out: Path | None, as_json: bool
) -> None:
    """Read the result.json that run.sh left on a device, with the checks of `bench`."""
    from edgekit.devices.bench import import_result

    report = import_result(result, bundle_path, device)
    _report(
        report, out or Path("build/devices") / device / Path(report.artifact.file).stem, as_json
    )


def _report(report: DeviceReport, folder: Path, as_json: bool) -> None:
    """
    Raises:
        DeviceError: the run is no result.
    """
    from edgekit.report.device import write_device_report

    page = write_device_report(report, folder)
    if as_json:
        click.echo(report.model_dump_json(indent=1))
    else:
        for line in _told(report):
            click.echo(line)
        click.echo(f"Report: {page}")
    if report.invalid():
        raise DeviceError(
            f"the run on {report.device.name} is no result: {report.invalid()}",
            hint=f"see {page}; mend the cause and measure again",
        )


def _told(report: DeviceReport) -> Iterator[str]:
    """A device report in a few lines."""
    from edgekit.report.render import interval

    where = f"{report.artifact.file} on {report.device.name} ({report.device.cpu})"
    yield f"{where}: {report.validity}, evidence: {report.evidence}"
    found, times = report.correctness, report.latency_us
    if found.top1 and found.host_top1:
        yield f"top-1 {interval(found.top1)} %, on the host {found.host_top1.value:.1f} %"
    if found.agreement:
        images = found.agreement.samples
        yield f"same class as on the host: {interval(found.agreement)} % of {images} images"
    if times:
        spread = f"{min(times.medians) / 1e3:.2f} to {max(times.medians) / 1e3:.2f}"
        yield (
            f"median {times.p50 / 1e3:.2f} ms at {report.runtime.threads} threads, {spread} in "
            f"{len(times.medians)} processes; p95 {times.p95 / 1e3:.2f} ms"
        )
    else:
        yield f"latency: not measured, {report.not_available['latency_us']}"
    for reason in report.reasons:
        yield f"{reason.validity}: {reason.cause}: {reason.words}"
