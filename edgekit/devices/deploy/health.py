"""After a switch: let the user's service take the new model, and see whether it does well."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass

from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault
from edgekit.transports.base import Completed

RELOAD_SECONDS, CHECK_SECONDS = 120.0, 30.0
PAUSE_SECONDS = 1.0
LEAST_SECONDS = 1.0
"""Of one try: a short one would end a command that is about to answer."""


@dataclass(frozen=True)
class Health:
    """Commands of the user's, for the device's shell, in the folder of the model in use."""

    reload: str = ""
    """Makes a service take the model, as `sudo systemctl restart photos`."""
    check: str = ""
    """Ends with 0 where all is well."""
    seconds: float = CHECK_SECONDS
    """Within which `check` must do so once."""

    @property
    def is_asked(self) -> bool:
        return bool(self.reload or self.check)

    def reload_on(self, device: Device, folder: str) -> None:
        """
        Raises:
            DeviceError: the command failed.
        """
        if not self.reload:
            return
        what = f"`{self.reload}`"
        done = _run(device, self.reload, folder, RELOAD_SECONDS)
        if done is None:
            raise DeviceError(
                f"{device.name}: {what} did not end within {RELOAD_SECONDS:g} s",
                hint="a service that it starts in the background needs `>/dev/null 2>&1 &`",
                fault=Fault.UNHEALTHY,
            )
        if done.code:
            raise _unhealthy(device, what, self.reload, folder, done)

    def check_on(self, device: Device, folder: str) -> None:
        """
        Raises:
            DeviceError: the command did not end well in time.
        """
        until = time.monotonic() + self.seconds
        while self.check:
            left = max(LEAST_SECONDS, until - time.monotonic())
            done = _run(device, self.check, folder, left)
            if done and done.code == 0:
                return
            device.stop_if_interrupted()
            if time.monotonic() + PAUSE_SECONDS > until:
                what = f"within {self.seconds:g} s `{self.check}`"
                raise _unhealthy(device, what, self.check, folder, done)
            time.sleep(PAUSE_SECONDS)


def _run(device: Device, command: str, folder: str, seconds: float) -> Completed | None:
    """None where it did not end in time: that is the command's fault, and not the device's."""
    try:
        return device.transport.run(_there(command, folder), timeout=seconds)
    except DeviceError as error:
        if error.fault is not Fault.NO_ANSWER:
            raise
        return None


def _there(command: str, folder: str) -> str:
    # In a shell of its own: an `exit` in it is its own.
    return f"cd {shlex.quote(folder)} && sh -c {shlex.quote(command)}"


def _unhealthy(
    device: Device, what: str, command: str, folder: str, done: Completed | None
) -> DeviceError:
    if done:
        last = (done.err.strip().splitlines() or ["nothing was said"])[-1]
        ended = f"ended with {done.code}: {last}"
    else:
        ended = "did not end"
    by_hand = device.transport.by_hand(f"cd {shlex.quote(folder)} && {command}")
    return DeviceError(
        f"{device.name}: {what} {ended}",
        hint=f"see what it says there: {by_hand}",
        fault=Fault.UNHEALTHY,
    )
