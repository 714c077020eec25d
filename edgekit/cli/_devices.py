"""What the commands that take a model to a device have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from edgekit.cli._options import FILE, duration, triple
from edgekit.cli._output import say
from edgekit.cli.completing import complete_devices
from edgekit.devices.limits import MOST_SUSTAINED, MOST_THREADS, MOST_WAITING
from edgekit.errors import InputError

device_option = click.option(
    "--device",
    "devices",
    multiple=True,
    required=True,
    help="A name in the inventory.",
    shell_complete=complete_devices,
)
some_option = click.option(
    "--device",
    "device",
    multiple=True,
    help="A name in the inventory; more than once.",
    shell_complete=complete_devices,
)
group_option = click.option(
    "--group", "group", multiple=True, help="All devices of a group in the inventory."
)


def standing_for(command: Callable[..., None]) -> Callable[..., None]:
    """The options of what stands for a target."""
    named = click.option(
        "--device",
        "device",
        multiple=True,
        help="Measure on this device of the inventory; several of one kind share the measuring.",
        shell_complete=complete_devices,
    )
    return named(group_option(command))


reload_option = click.option(
    "--reload", metavar="CMD", default="", help="Run there after the switch: restart a service."
)


def check_option(otherwise: str) -> Callable[..., Any]:
    """
    Args:
        otherwise: what comes of it where the check fails.
    """
    return click.option(
        "--check",
        metavar="CMD",
        default="",
        help=f"Must end with 0 there after the switch; else {otherwise}.",
    )


within_option = click.option(
    "--within",
    callback=lambda context, option, text: _seconds(context, option, text) if text else None,
    help="How long --check is given; 30s unless named.",
)
binary_option = click.option(
    "--benchmark-binary",
    "binary",
    type=FILE,
    help="Of a phone without Python: the benchmark_model to run there.",
)


wait_option = click.option(
    "--wait",
    callback=lambda _, option, text: _waiting(option, text),
    help="Look at those again after 10m, before the others begin.",
)


def _waiting(option: Any, text: str | None) -> float:
    seconds = duration(option.name, text) if text is not None else 0.0
    if seconds > MOST_WAITING:
        raise InputError("--wait: 7 days (168h) at most")
    return seconds


def _seconds(_: Any, option: Any, text: str | None) -> float:
    seconds = duration(option.name, text) if text is not None else 0.0
    if seconds > MOST_SUSTAINED:
        raise InputError(f"--{option.name}: 5h at most: the device is held for six")
    return seconds


def _with(command: Callable[..., None], *options: Any) -> Callable[..., None]:
    for option in reversed(options):  # as decorators: --help lists the first one first
        command = option(command)
    return command


def feeding(command: Callable[..., None]) -> Callable[..., None]:
    """What a model file from elsewhere is fed with, for the commands that make a bundle."""
    return _with(
        command,
        click.option(
            "--images",
            type=FILE,
            help="For a file from elsewhere: a folder of images; of a folder for each of --labels.",
        ),
        click.option("--mean", callback=triple, help="Of a float input: 0.5 or 0.5,0.5,0.5"),
        click.option("--std", callback=triple, help="The same for the standard deviation."),
        click.option("--labels", type=FILE, help="Its classes: one name a line, or JSON."),
    )


def measuring(command: Callable[..., None]) -> Callable[..., None]:
    """And how it is measured. Not of `deploy`: the same model is one release, however it was
    measured."""
    return feeding(
        _with(
            command,
            click.option(
                "--threads", type=click.IntRange(1, MOST_THREADS), help="Instead of the target's."
            ),
            click.option(
                "--strict", is_flag=True, help="1024 runs and 60 s at least, as in MLPerf."
            ),
            click.option(
                "--sustained", callback=_seconds, help="Also run without a pause so long: 15m."
            ),
        )
    )


def on_stderr(message: str) -> None:
    say(message, err=True)
