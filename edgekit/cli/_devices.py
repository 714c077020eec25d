"""What the commands that take a model to a device have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli._options import FILE, triple
from edgekit.cli._output import say
from edgekit.errors import STORE, STORE_VARIABLE, InputError, make_folder

if TYPE_CHECKING:
    from edgekit.devices.bundle.bundle import Bundle
    from edgekit.devices.bundle.options import BundleOptions
    from edgekit.engine.store import Store
    from edgekit.transports.base import Transport

device_option = click.option(
    "--device", "devices", multiple=True, required=True, help="A name in the inventory."
)
binary_option = click.option(
    "--benchmark-binary",
    "binary",
    type=FILE,
    help="Of a phone without Python: the benchmark_model to run there.",
)
MAX_SUSTAINED = 5 * 3600
"""Seconds: a lock on a device is stale after six hours."""


def _seconds(_: Any, option: Any, text: str | None) -> float:
    """90, 90s, 15m or 1h."""
    if text is None:
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not found:
        raise InputError(f"--{option.name}: a time such as 90s, 15m or 1h expected, not {text}")
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
    if seconds > MAX_SUSTAINED:
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
            help="For a file from elsewhere: a folder of images, or of a folder for each class.",
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
            click.option("--threads", type=click.IntRange(1, 64), help="Instead of the target's."),
            click.option(
                "--strict", is_flag=True, help="1024 runs and 60 s at least, as in MLPerf."
            ),
            click.option(
                "--sustained", callback=_seconds, help="Also run without a pause so long: 15m."
            ),
        )
    )


def bundle_options(strict: bool = False, sustained: float = 0.0, **options: Any) -> BundleOptions:
    from edgekit.devices.bundle.options import BundleOptions
    from edgekit.devices.bundle.protocol import STRICT, Protocol

    protocol = STRICT if strict else Protocol()
    return BundleOptions(protocol.model_copy(update={"sustained_seconds": sustained}), **options)


def on_stderr(message: str) -> None:
    say(message, err=True)


def tell_untrained(bundle: Bundle) -> None:
    """A word on a model whose build was untrained; a file from elsewhere has no manifest."""
    from edgekit.build_folder.reading import read_manifest

    with suppress(InputError):  # another version's: the model is used all the same
        manifest = read_manifest(bundle.folder)
        if getattr(manifest, "verdict", None) == "untrained":
            on_stderr(
                f"{bundle.info.subject.file} is untrained: its float model was no better than "
                "always naming the commonest class"
            )


def store_of(store: Path | None) -> Store:
    """
    Raises:
        StorageError: there is no such folder, and none can be made.
    """
    from edgekit.engine.store import Store, default_store

    root = store or default_store()
    make_folder(root, STORE if store else STORE_VARIABLE)
    return Store(root)


def transports_of(names: tuple[str, ...]) -> dict[str, Transport]:
    """
    Raises:
        InputError: a device is not in the inventory, or named twice.
    """
    from edgekit.devices.inventory import find_device

    if len(set(names)) < len(names):
        raise InputError("--device: a device is named twice")
    return {name: find_device(name) for name in names}
