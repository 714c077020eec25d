"""Put the release before the one in use back in use."""

from __future__ import annotations

import shlex
import time

from edgekit.devices.deploy.golden import GoldenRunner, by_agent, prove
from edgekit.devices.deploy.health import Health
from edgekit.devices.deploy.releases import ReleaseStore
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.deploy.switching import still_in_use, switched
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
        health: what follows the switch; where it fails, the result tells it, and the switch stays.

    Raises:
        DeviceError: there is none, or it does not work any more; the one in use stays.
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
        failed = _failed_health(releases, before, health) if health else None
    return DeployResult(
        device.name,
        DeployState.FAILED if failed else DeployState.ROLLED_BACK,
        before,
        time.monotonic() - begin,
        golden_max_abs_diff=difference,
        error=failed,
        note=note,
    )


def _failed_health(releases: ReleaseStore, release: str, health: Health) -> DeviceError | None:
    folder = f"{releases.folder}/current"
    try:
        health.reload_on(releases.device, folder)
        health.check_on(releases.device, folder)
    except DeviceError as error:
        error.add(still_in_use(release))
        return error
    return None


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
