"""Commands that put a model on a device: bundle, deploy, rollback."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import (
    binary_option,
    bundle_options,
    device_option,
    feeding,
    measuring,
    on_stderr,
    store_of,
    tell_untrained,
    transports_of,
)
from edgekit.cli._options import FILE, debug_option, json_option, store_option
from edgekit.cli._output import say, say_json, tell_unprevented
from edgekit.errors import DeviceError

if TYPE_CHECKING:
    from edgekit.devices.deploy.deploy import DeployResult
    from edgekit.devices.device import Device


@click.command()
@measuring
@click.argument("artifact", type=FILE)
@click.option("--out", type=FILE, required=True, help="A folder to make, or a file that ends .tar.")
@click.option("--force", is_flag=True, help="Write over a bundle.")
@store_option
@debug_option
def bundle(artifact: Path, out: Path, force: bool, store: Path | None, **options: Any) -> None:
    """Make a bundle to carry to a device, where sh run.sh runs it.

    \b
        edgekit bundle build/photos/rpi --out bundle.tar

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, or a model file.
    """
    from edgekit.devices.bundle.make import bundle_of
    from edgekit.devices.bundle.pack import pack_bundle, refuse_out

    refuse_out(out, force)
    tell_unprevented()
    with bundle_of(artifact, store_of(store), bundle_options(**options)) as made:
        tell_untrained(made)
        pack_bundle(made, out)
        release = made.release()[:16]
        say(f"{out}: {made.info.subject.file}, {made.info.input_source}, release {release}")
        processor = made.info.machine or "any processor"
        say(f"For {processor} with Python, numpy and {made.info.runtime}, which are not in it.")
        if not made.info.labelled:
            on_stderr(
                "without labelled images no accuracy is measured on the device, only whether its "
                f"scores are this machine's: {made.info.input_source}; --images with a folder for "
                "each class labels them"
            )
    if out.suffix != ".tar":
        script = shlex.quote(f"{out.name}/run.sh")
        say(f"On the device: sh {script}. At home: edgekit import result.json")


@click.command()
@feeding
@click.argument("artifact", type=FILE)
@device_option
@click.option("--keep", type=click.IntRange(1), default=3, show_default=True, help="Releases.")
@binary_option
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@store_option
@json_option
@debug_option
def deploy(
    artifact: Path,
    devices: tuple[str, ...],
    keep: int,
    binary: Path | None,
    dry_run: bool,
    store: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Put a model in use on devices, once it gives its scores.

    \b
        edgekit deploy build/photos/rpi --device pi5

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, a bundle or a model file.
    """
    from edgekit.devices.bench.phone_golden import phone_golden
    from edgekit.devices.bundle.make import bundle_of
    from edgekit.devices.deploy.deploy import Deployment, on_each

    transports = transports_of(devices)
    tell_unprevented()
    with bundle_of(artifact, store_of(store), bundle_options(**options)) as made:
        tell_untrained(made)
        release = made.release()
        golden_runner = phone_golden(binary, made) if binary else None
        deployment = Deployment(made, release, keep, dry_run, golden_runner, on_stderr)
        results = on_each(transports, deployment.to, release)
    _report(results, as_json)


@click.command()
@click.argument("name")
@device_option
@binary_option
@json_option
@debug_option
def rollback(name: str, devices: tuple[str, ...], binary: Path | None, as_json: bool) -> None:
    """Put the release before the one in use back in use.

    \b
        edgekit rollback photos --device pi5

    NAME is the recipe's.
    """
    from edgekit.devices.bench.phone_golden import phone_golden
    from edgekit.devices.deploy.deploy import on_each, roll_back

    golden_runner = phone_golden(binary) if binary else None

    def back(device: Device) -> DeployResult:
        return roll_back(device, name, golden_runner, on_stderr)

    _report(on_each(transports_of(devices), back), as_json)


def _report(results: list[DeployResult], as_json: bool) -> None:
    """A line a device; any failure is the command's.

    Raises:
        DeviceError: all that failed, with the hint and the exit code of the first.
    """
    if as_json:
        say_json([one.as_json() for one in results])
    else:
        for one in results:
            _print(one)
    errors = [one.error for one in results if one.error]
    if not errors:
        return
    failure = DeviceError("; ".join(e.message for e in errors), hint=errors[0].hint)
    failure.exit_code = errors[0].exit_code
    raise failure from errors[0]


def _print(result: DeployResult) -> None:
    line = f"{result.device}: {result.state}"
    if not result.error:
        sent = f", {result.sent_bytes / 1e6:.2f} MB sent" if result.sent_bytes else ""
        line += f" {result.release[:16]}{sent}, {result.seconds:.1f} s"
    say(line)
    if result.note:
        on_stderr(f"{result.device}: {result.note}")
