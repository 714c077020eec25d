"""An open way to a device: its folder, its boot, and commands in its shell."""

from __future__ import annotations

import shlex
import threading
import time
from typing import Self

from edgekit.errors import DeviceError, Fault
from edgekit.transports.base import DISK_FULL, READ_ONLY, READ_ONLY_HINT, Listener, Transport

RETURN_SECONDS = 90.0
"""How long a device that fell silent is waited for: a board takes 20 to 60 s to start."""
RETURN_PAUSE = 2.0


class DeviceShell:
    """The shell of a device, open within `with`.

    Args:
        interrupted: once it is set, no further command is begun.
    """

    def __init__(
        self, name: str, transport: Transport, interrupted: threading.Event | None = None
    ) -> None:
        self.name = name
        self.transport = transport
        self.interrupted = interrupted or threading.Event()
        self.home = ""
        self.boot = ""

    def __enter__(self) -> Self:
        self.transport.open()
        try:
            self.home = self._home()
            self.boot = self._boot()
        except BaseException:
            self.transport.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    def sh(self, command: str, *, timeout: float | None = 60.0) -> str:
        """What a line of shell prints on the device.

        Raises:
            DeviceError: the way broke, the command ended with another code than 0, or somebody
                interrupted.
        """
        self.stop_if_interrupted()
        done = self.transport.run(command, timeout=timeout)
        if done.code:
            raise self.error(command, done.code, done.err)
        return done.out

    def stop_if_interrupted(self) -> None:
        """
        Raises:
            DeviceError: somebody interrupted.
        """
        if self.interrupted.is_set():
            raise interruption(f"{self.name}: interrupted")

    def error(self, command: str, code: int, stderr: str) -> DeviceError:
        """What a failed command means."""
        last = (stderr.strip().splitlines() or ["nothing was said"])[-1]
        if DISK_FULL in stderr:
            return DeviceError(
                f"{self.name}: the device is full: {last}",
                hint=f"free some space there; `edgekit deploy --keep 1` keeps fewer releases, and "
                f"{self.home}/files may be deleted",
                fault=Fault.FULL,
            )
        if READ_ONLY.search(stderr):
            return DeviceError(
                f"{self.name}: nothing can be written there: {last}",
                hint=READ_ONLY_HINT,
                fault=Fault.READ_ONLY,
            )
        return DeviceError(f"{self.name}: `{command[:200]}` ended with {code}: {last}")

    def forget(self, path: str) -> None:
        """Remove what is of no more use; where the way is broken, the next run does it."""
        try:
            self.transport.run(f"rm -rf {shlex.quote(path)}")
        except DeviceError:
            return

    def reach_again(self, on_message: Listener) -> str | None:
        """Open a way that broke anew, and wait for a device that restarts.

        Returns:
            its boot id; None where it does not come back.
        """
        until, announced = time.monotonic() + RETURN_SECONDS, False
        while True:
            try:
                self.transport.close()
                self.transport.open()
                return self._boot()
            except DeviceError:
                if time.monotonic() > until:
                    return None
            if not announced:
                on_message(f"{self.name}: it is silent; waiting {RETURN_SECONDS:.0f} s for it")
                announced = True
            time.sleep(RETURN_PAUSE)

    def restart_error(self, on_message: Listener) -> DeviceError | None:
        """The error where the device is another boot now than when it was opened."""
        now = self.reach_again(on_message)
        if now is None or now == self.boot:
            return None
        return DeviceError(
            f"{self.name} restarted during the run",
            hint="a weak power supply or too much heat does that; no figure of the run is kept",
            fault=Fault.REBOOTED,
        )

    def _home(self) -> str:
        home = self.transport.home
        if home.startswith("~/"):
            home = self.sh('printf %s "$HOME"') + home[1:]
        self.sh(f"mkdir -p {shlex.quote(home)}")
        return home

    def _boot(self) -> str:
        # Android may hide the kernel's; when its init began (ns) is no other boot's either.
        command = "cat /proc/sys/kernel/random/boot_id 2>/dev/null || getprop ro.boottime.init"
        return self.transport.run(command).out.strip()


def interruption(message: str) -> DeviceError:
    """The error for Ctrl-C."""
    stopped = DeviceError(message, fault=Fault.INTERRUPTED)
    stopped.exit_code = 130
    return stopped
