"""Commands that put a model on a device: bundle, deploy, rollback."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import binary_option, device_option, feeding, measuring, on_stderr
from edgekit.cli._options import FILE, debug_option, json_option, progress_option, store_option
from edgekit.cli._output import say, say_json

if TYPE_CHECKING:
    from edgekit.api.results import DeployReport
    from edgekit.devices.deploy.result import DeployRecord


@click.command()
@measuring
@click.argument("artifact", type=FILE)
@click.option("--out", type=FILE, required=True, help="A folder to make, or a file that ends .tar.")
@click.option("--force", is_flag=True, help="Write over a bundle.")
@store_option
@json_option
@debug_option
def bundle(
    artifact: Path, out: Path, force: bool, store: Path | None, as_json: bool, **options: Any
) -> None:
    """Make a bundle to carry to a device, where sh run.sh runs it.

    \b
        edgekit bundle build/photos/rpi --out bundle.tar

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, or a model file.
    """
    from edgekit.api import bundle as run
    from edgekit.cli._progress import OnStderr

    found = run(artifact, out, force=force, store=store, observer=OnStderr(), **options)
    if as_json:
        say_json(found)
        return
    info = found.info
    say(f"{out}: {info.subject.file}, {info.input_source}, release {found.release[:16]}")
    processor = info.machine or "any processor"
    say(f"For {processor} with Python, numpy and {info.runtime}, which are not in it.")
    if not info.labelled:
        on_stderr(
            "without labelled images no accuracy is measured on the device, only whether its "
            f"scores are this machine's: {info.input_source}; --labels with class names "
            "and --images with a folder for each label them"
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
@progress_option
@json_option
@debug_option
def deploy(
    artifact: Path,
    devices: tuple[str, ...],
    keep: int,
    binary: Path | None,
    dry_run: bool,
    store: Path | None,
    progress: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Put a model in use on devices, once it gives its scores.

    \b
        edgekit deploy build/photos/rpi --device pi5

    ARTIFACT is build/<recipe>/<target>, one of its variants' folders, a bundle or a model file.
    """
    from edgekit.api import deploy as run
    from edgekit.cli._progress import OnStderr, watching

    found = run(
        artifact,
        devices,
        keep=keep,
        dry_run=dry_run,
        benchmark_binary=binary,
        store=store,
        observer=watching(progress, OnStderr()),
        **options,
    )
    _report(found, as_json)


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
    from edgekit.api import rollback as run
    from edgekit.cli._progress import OnStderr

    _report(run(name, devices, benchmark_binary=binary, observer=OnStderr()), as_json)


def _report(found: DeployReport, as_json: bool) -> None:
    """A line a device; any failure is the command's.

    Raises:
        DeviceError: all that failed.
    """
    if as_json:
        say_json([one.model_dump(mode="json") for one in found.devices])
    else:
        for one in found.devices:
            _print(one)
    found.check()


def _print(result: DeployRecord) -> None:
    line = f"{result.device}: {result.state}"
    if not result.error:
        sent = f", {result.sent_bytes / 1e6:.2f} MB sent" if result.sent_bytes else ""
        line += f" {result.release[:16]}{sent}, {result.seconds:.1f} s"
    say(line)
    if result.note:
        on_stderr(f"{result.device}: {result.note}")
