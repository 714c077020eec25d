"""Commands that look at what was deployed: device models, clean and unlock, verify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from edgekit.cli._devices import device_option, on_stderr
from edgekit.cli._options import debug_option, json_option
from edgekit.cli._output import say, say_json

if TYPE_CHECKING:
    from edgekit.devices.facts import DeployedModel, DeployedRelease


@click.command()
@click.argument("name")
@json_option
@debug_option
def models(name: str, as_json: bool) -> None:
    """List the models deployed on a device, and whether each is whole.

    \b
        edgekit device models pi5
    """
    from edgekit.api import verify as run
    from edgekit.cli._progress import OnStderr

    found = run(name, observer=OnStderr()).devices[name]
    if as_json:
        say_json([one.model_dump(mode="json") for one in found])
    else:
        _show(name, found)


@click.command()
@device_option
@json_option
@debug_option
def verify(devices: tuple[str, ...], as_json: bool) -> None:
    """Hold every deployed file on devices against its checksum.

    \b
        edgekit verify --device pi5

    Exit code 4 where one is damaged.
    """
    from edgekit.api import verify as run
    from edgekit.cli._progress import OnStderr

    found = run(devices, observer=OnStderr())
    if as_json:
        say_json(found.model_dump(mode="json")["devices"])
    else:
        for name, of in found.devices.items():
            _show(name, of)
    found.check()


@click.command()
@click.argument("name")
@click.option("--damaged", is_flag=True, help="Also damaged releases that are not in use.")
@debug_option
def clean(name: str, damaged: bool) -> None:
    """Remove from a device what no release needs: files kept for later, broken runs.

    \b
        edgekit device clean pi5

    Models in use, the releases before them and the venv stay.
    """
    from edgekit.devices.deploy.releases import release_stores
    from edgekit.devices.device import Device
    from edgekit.devices.inventory import find_device
    from edgekit.devices.lock import held

    with Device(name, find_device(name)) as device, held(device, on_stderr):
        stores = release_stores(device) if damaged else []
        gone = [(store.name, release) for store in stores for release in store.forget_damaged()]
        before = device.files.used_bytes()
        device.tidy(kept=0)
        freed = before - device.files.used_bytes()
    for model, release in gone:
        say(f"{name}: {model}: damaged release {release[:16]} removed")
    say(f"{name}: {max(0, freed) / 1e6:.1f} MB freed in {device.home}")


@click.command()
@click.argument("name")
@click.option("--break-lock", "breaks", is_flag=True, help="Take the lock away, whoever holds it.")
@debug_option
def unlock(name: str, breaks: bool) -> None:
    """Tell who works on a device, and end the claim of a machine that died.

    \b
        edgekit device unlock pi5 --break-lock

    A lock ends by itself when the device restarts, and after six hours.
    """
    from edgekit.devices.device import Device
    from edgekit.devices.inventory import find_device
    from edgekit.devices.lock import break_lock, look

    with Device(name, find_device(name)) as device:
        found = look(device)
        if found is None:
            say(f"{name}: nobody works on it")
            return
        holder, seconds = found
        say(f"{name}: {holder.who} has held it for {seconds / 60:.0f} minutes")
        if breaks:
            break_lock(device, holder)
            say(f"{name}: the lock is broken; what {holder.who} still does there is not kept apart")
        else:
            on_stderr(f"if that machine is no more: edgekit device unlock {name} --break-lock")


def _show(name: str, found: Sequence[DeployedModel]) -> None:
    if not found:
        say(f"{name}: no model was deployed there")
    for model in found:
        say(f"{name}: {model.name}")
        if model.is_lost:
            say(f"  {str(model.current)[:16]}  in use     gone")
        for release in model.releases:
            say(f"  {release.release[:16]}  {_state(model, release)}")


def _state(model: DeployedModel, release: DeployedRelease) -> str:
    place = "in use" if release.in_use else "kept"
    if release.release == model.previous:
        place = "before it"
    return f"{place:9}  {'damaged: ' + ', '.join(release.damaged) if release.damaged else 'whole'}"
