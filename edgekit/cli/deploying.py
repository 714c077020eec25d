"""Commands that put a model on a device: bundle, deploy, rollback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import (
    binary_option,
    device_option,
    feeding,
    measuring,
    on_stderr,
    store_of,
    transports_of,
    wanted_of,
)
from edgekit.cli._options import FILE, debug_option, json_option, store_option
from edgekit.errors import DeviceError

if TYPE_CHECKING:
    from edgekit.devices.deploy.deploy import DeployResult
    from edgekit.devices.device import Device


@click.command()
@measuring
@click.argument("artifact", type=FILE)
@click.option("--out", type=FILE, required=True, help="A folder to make, or a file that ends .tar.")
@store_option
@debug_option
def bundle(artifact: Path, out: Path, store: Path | None, **words: Any) -> None:
    """Make a bundle to carry to a device: on it, `sh run.sh` checks and measures the model.

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, or a model file.
    """
    from edgekit.devices.bundle.make import bundle_of
    from edgekit.devices.bundle.pack import write_out

    with bundle_of(artifact, store_of(store), wanted_of(**words)) as made:
        write_out(made, out)
        click.echo(f"{out}: {made.info.subject.file}, {made.info.images} images, release "
                   f"{made.release()[:16]}")  # fmt: skip
    if out.suffix != ".tar":
        click.echo(f"On the device: sh {out.name}/run.sh. At home: edgekit import result.json")


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
    **words: Any,
) -> None:
    """Put a model in use on one or more devices, once it has given the golden scores there.

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, a bundle or a model file.
    """
    from edgekit.devices.bench.phone_golden import phone_golden
    from edgekit.devices.bundle.make import bundle_of
    from edgekit.devices.deploy.deploy import Deployment, on_each

    transports = transports_of(devices)
    with bundle_of(artifact, store_of(store), wanted_of(**words)) as made:
        release = made.release()
        golden_runner = phone_golden(binary, made) if binary else None
        deployment = Deployment(made, release, keep, dry_run, golden_runner, on_stderr)
        outcomes = on_each(transports, deployment.to, release)
    _tell(outcomes, as_json)


@click.command()
@click.argument("name")
@device_option
@binary_option
@json_option
@debug_option
def rollback(name: str, devices: tuple[str, ...], binary: Path | None, as_json: bool) -> None:
    """Put the release before the one in use back in use. NAME is the recipe's."""
    from edgekit.devices.bench.phone_golden import phone_golden
    from edgekit.devices.deploy.deploy import on_each, roll_back

    golden_runner = phone_golden(binary) if binary else None

    def back(device: Device) -> DeployResult:
        return roll_back(device, name, golden_runner, on_stderr)

    _tell(on_each(transports_of(devices), back), as_json)


def _tell(outcomes: list[DeployResult], as_json: bool) -> None:
    """A line a device; any failure is the command's."""
    if as_json:
        click.echo(json.dumps([one.as_json() for one in outcomes], indent=1))
    for one in outcomes if not as_json else ():
        sent = f", {one.sent_bytes / 1e6:.2f} MB sent" if one.sent_bytes else ""
        what = f" {one.release[:16]}{sent}, {one.seconds:.1f} s" if not one.error else ""
        click.echo(f"{one.device}: {one.state}{what}")
        if one.note:
            on_stderr(f"{one.device}: {one.note}")
    failed = [one for one in outcomes if one.error]
    if not failed:
        return
    words = "; ".join(e.message for one in failed if (e := one.error))
    first = failed[0].error
    failure = DeviceError(words, hint=first.hint if first else None)
    failure.exit_code = first.exit_code if first else failure.exit_code
    raise failure from first
