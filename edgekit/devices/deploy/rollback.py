"""Put the release before the one in use back in use."""

from __future__ import annotations

import shlex
import time

from edgekit.devices.deploy.deploy import GoldenRunner, by_agent, prove, switched
from edgekit.devices.deploy.health import Health
from edgekit.devices.deploy.releases import ReleaseStore
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.device import Device
from edgekit.devices.lock import held
from edgekit.errors import DeviceError
from edgekit.spec.yamlfile import suggestion
from edgekit.transports.base import Listener, ignore


def roll_back(
    device: Device,
    name: str,
    golden_runner: GoldenRunner | None = None,
    on_message: Listener = ignore,
    health: Health | None = None,
) -> DeployResult:
    """Put the release before this one in use again, after it was checked and tried out.

    Args:
        golden_runner: as of a `Deployment`.
        on_message: called with what is waited for.
        health: what follows the switch; it is not taken back.

    Raises:
        DeviceError: there is none, or it does not work any more.
    """
    begin = time.monotonic()
    with held(device, on_message):
        releases = ReleaseStore(device, name)
        before = _release_before(releases)
        folder = f"{releases.folder}/releases/{before}"
        releases.check(folder, releases.own_sums(before))
        golden = (golden_runner or by_agent)(device, folder)
        difference = prove(device, golden, releases.precision(before))
        note = switched(releases, before, on_message)
        if health:
            health.reload_on(device, f"{releases.folder}/current")
            health.check_on(device, f"{releases.folder}/current")
    return DeployResult(
        device.name,
        DeployState.ROLLED_BACK,
        before,
        time.monotonic() - begin,
        golden_max_abs_diff=difference,
        note=note,
    )


def _release_before(releases: ReleaseStore) -> str:
    """
    Raises:
        DeviceError: there is none, or it is not known.
    """
    device, name = releases.device, releases.name
    kept = f"`ls {releases.folder}/releases` there shows what is kept"
    before = releases.previous()
    if before is None:
        listed = device.sh(f"ls {shlex.quote(f'{device.home}/models')} 2>/dev/null || true")
        known = listed.split()
        if name in known:
            message = f"{device.name}: {name} has no release before the one in use"
            raise DeviceError(message, hint=kept)
        raise DeviceError(
            f"{device.name}: no model {name} was deployed there", hint=suggestion(name, known)
        )
    if before == releases.current():
        raise DeviceError(
            f"{device.name}: the release before the one in use is not known: a switch was broken "
            "off",
            hint=f"deploy the one you want; {kept}",
        )
    return before
