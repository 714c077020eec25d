"""After a switch: let the user's service take the new model, and see whether it does well."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass

from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault

RELOAD_SECONDS = 120.0
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Health:
    """Commands of the user's, for the device's shell, in the folder of the model in use."""

    reload: str = ""
    """Makes a service take the model, as `sudo systemctl restart photos`."""
    check: str = ""
    """Ends with 0 where all is well."""
    seconds: float = 30.0
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
        done = device.transport.run(_there(self.reload, folder), timeout=RELOAD_SECONDS)
        if done.code:
            raise _unhealthy(device, f"`{self.reload}`", done.code, done.err)

    def check_on(self, device: Device, folder: str) -> None:
        """
        Raises:
            DeviceError: the command did not end well in time.
        """
        until = time.monotonic() + self.seconds
        while self.check:
            left = max(1.0, until - time.monotonic())
            done = device.transport.run(_there(self.check, folder), timeout=left)
            if done.code == 0:
                return
            device.stop_if_interrupted()
            if time.monotonic() + PAUSE_SECONDS > until:
                what = f"within {self.seconds:g} s `{self.check}`"
                raise _unhealthy(device, what, done.code, done.err)
            time.sleep(PAUSE_SECONDS)


def _there(command: str, folder: str) -> str:
    # In a shell of its own: an `exit` in it is its own.
    return f"cd {shlex.quote(folder)} && sh -c {shlex.quote(command)}"


def _unhealthy(device: Device, what: str, code: int, stderr: str) -> DeviceError:
    last = (stderr.strip().splitlines() or ["nothing was said"])[-1]
    return DeviceError(
        f"{device.name}: {what} ended with {code}: {last}",
        hint="what does it say there, by hand?",
        fault=Fault.UNHEALTHY,
    )
