"""Commands that put a model on a device: bundle, deploy, rollback."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._devices import (
    binary_option,
    check_option,
    feeding,
    group_option,
    measuring,
    on_stderr,
    reload_option,
    some_option,
    wait_option,
    within_option,
)
from edgekit.cli._options import FILE, debug_option, json_option, progress_option, store_option
from edgekit.cli._output import say, say_json
from edgekit.errors import InputError

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
@some_option
@group_option
@click.option("--keep", type=click.IntRange(1), default=3, show_default=True, help="Releases.")
@reload_option
@check_option("the release before is put back")
@within_option
@click.option("--canary", type=click.IntRange(1), help="So many devices go first.")
@wait_option
@click.option("--without-images", is_flag=True, help="Do not send the images of measurements.")
@binary_option
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--jsonl", "as_lines", is_flag=True, help="A JSON line a device, as it is done.")
@store_option
@progress_option
@json_option
@debug_option
def deploy(
    artifact: Path,
    binary: Path | None,
    as_lines: bool,
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

    if as_lines and as_json:
        raise InputError("--json or --jsonl: one document, or a line a device")
    found = run(
        artifact,
        benchmark_binary=binary,
        store=store,
        observer=watching(progress, OnStderr()),
        on_result=_say_line if as_lines else None,
        **options,
    )
    if as_lines:
        found.check()
    else:
        _report(found, as_json)


def _say_line(record: DeployRecord) -> None:
    say(json.dumps(record.model_dump(mode="json")))


@click.command()
@click.argument("name")
@some_option
@group_option
@reload_option
@check_option("it is told: the switch stays")
@within_option
@binary_option
@json_option
@debug_option
def rollback(name: str, binary: Path | None, as_json: bool, **options: Any) -> None:
    """Put the release before the one in use back in use.

    \b
        edgekit rollback photos --device pi5

    NAME is the recipe's.
    """
    from edgekit.api import rollback as run
    from edgekit.cli._progress import OnStderr

    found = run(name, benchmark_binary=binary, observer=OnStderr(), **options)
    _report(found, as_json)


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
    if not result.error and result.state != "skipped":
        sent = f", {result.sent_bytes / 1e6:.2f} MB sent" if result.sent_bytes else ""
        line += f" {result.release[:16]}{sent}, {result.seconds:.1f} s"
    say(line)
    if result.note:
        on_stderr(f"{result.device}: {result.note}")
