"""The devices of the user's that stand for a target."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.api.arguments import names_of, transports_of
from edgekit.engine.observer import Observer
from edgekit.errors import DeviceError, InputError

if TYPE_CHECKING:
    from edgekit.devices.bench.timing_device import TimingDevice
    from edgekit.spec.target import Target
    from edgekit.transports.base import Listener, Transport

Names = str | Sequence[str] | None
"""Of devices, or of groups of them."""


def board_for(
    device: Names,
    group: Names,
    targets: Sequence[Target],
    observer: Observer,
    on_profile: Listener | None = None,
) -> TimingDevice | None:
    """What stands for a target: one device, or several of one kind that share the measuring; None
    where none is named. Of several one that cannot be reached is left out.

    Args:
        on_profile: told where a device has another processor than the target says; the observer
            unless given.

    Raises:
        InputError: several targets, or devices of different kinds.
        DeviceError: none can be reached.
    """
    names, groups = names_of(device or ()), names_of(group or ())
    if not names and not groups:
        return None
    from edgekit.devices.bench.timing_team import team_of

    ways = transports_of(names, groups)
    if len(targets) > 1:
        told = " ".join(f"--device {shlex.quote(name)}" for name in ways)
        raise InputError(
            f"{told} stands for one target, and {len(targets)} are named",
            hint="build the others apart, each with its own device",
        )
    found: list[TimingDevice] = []
    failed: list[DeviceError] = []
    for name, transport in ways.items():
        try:
            found.append(_timing_device(name, transport, targets[0], on_profile or observer.remark))
        except DeviceError as error:
            failed.append(error)
            if len(ways) > 1:
                observer.remark(f"{name} is set aside: {error.message}")
    if not found:
        raise failed[0]
    return team_of(found)


def _timing_device(
    name: str, transport: Transport, target: Target, on_profile: Listener
) -> TimingDevice:
    from edgekit.devices.bench.timing_device import TimingDevice, fingerprint_of
    from edgekit.devices.own_profile import own_profile

    found = fingerprint_of(name, transport)
    own = own_profile(target, name, found.get("part"), on_profile)
    return TimingDevice(name, transport, own, found)
