"""An Android device, through the `adb` program of the platform tools; always by its serial.

Android 8 or later (sha256sum, df -P). adb's own environment variables for its server hold, e.g.
ANDROID_ADB_SERVER_PORT and ADB_SERVER_SOCKET.
"""

from __future__ import annotations

import shlex
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, PrivateAttr

from edgekit.errors import DeviceError, Fault
from edgekit.transports._process import run_process
from edgekit.transports.base import DISK_FULL, Completed, Listener, Transport

TRANSFER_SECONDS = 900.0
SETTLE_SECONDS = 8.0
TRANSIENT_STATES = ("offline", "connecting", "authorizing")
"""States that a device passes through as it comes back."""
STATES = {
    "unauthorized": "confirm the dialog on the phone (`Allow USB debugging?`), then try again",
    "authorizing": "wait a moment, and confirm the dialog on the phone if it shows one",
    "offline": "unplug the phone and plug it in again, or: adb reconnect offline",
    "no": "this user may not use the USB device: install its udev rules "
    "(Debian: apt-get install android-sdk-platform-tools-common), then plug it in again",
    "recovery": "restart the phone into Android: adb reboot",
    "bootloader": "restart the phone into Android: fastboot reboot",
}
"""What `adb devices` says of a device that lets nothing run, and what to do."""
LOST_SIGNS = (
    "closed", "EOF", "protocol fault", "not found", "offline", "couldn't read from device",
    "no response", "connect failed", "Connection reset", "Broken pipe",
)  # fmt: skip
NO_SPACE = "free some space there, or name another folder with `home` in the inventory"


class Adb(Transport):
    without_python: ClassVar[str] = (
        "a phone has none: measure what a build left by its benchmark_model, `edgekit bench "
        "build/<recipe>/<target>/litert --device {name} --benchmark-binary FILE`"
    )

    transport: Literal["adb"] = "adb"
    serial: str = Field(min_length=1)
    home: str = Field(default="/data/local/tmp/edgekit", pattern="^/")

    _keeps_apart: bool = PrivateAttr(default=True)

    @property
    def address(self) -> str:
        return f"serial {self.serial}"

    def by_hand(self, command: str) -> str:
        return shlex.join(["adb", "-s", self.serial, "shell", command])

    def open(self) -> None:
        state, states = self._settled()
        if state is None:
            others = ", ".join(sorted(states)) or "none"
            raise DeviceError(
                f"{self.address}: adb does not list this device; it lists: {others}",
                hint="plug it in and allow USB debugging, or: adb connect HOST:PORT; "
                "`adb devices` must show it",
                fault=Fault.UNREACHABLE,
            )
        if state != "device":
            raise DeviceError(
                f"{self.address}: adb lists this device as {state}",
                hint=STATES.get(state.split()[0], "`adb devices` must show it as `device`"),
                fault=Fault.REFUSED if state == "unauthorized" else Fault.UNREACHABLE,
            )
        # Before Android 7 the shell had one stream for both, and no exit code.
        self._keeps_apart = "shell_v2" in self._adb(["features"], 60.0).out.split()

    def run(
        self, command: str, *, timeout: float | None = 60.0, on_line: Listener | None = None
    ) -> Completed:
        # adb ends with 0 where an old device or a broken connection has no exit code: the device
        # itself says the code, last, and what does not end so did not end.
        end = f"edgekit-{uuid.uuid4().hex}:"

        def before_the_end(line: str) -> None:
            text, mark, _ = line.rstrip("\r").partition(end)
            if on_line and (text or not mark):
                on_line(text)

        line = f"sh -c {shlex.quote(command)}; echo {end}$?"
        done = self._adb(["shell", line], timeout, before_the_end if on_line else None)
        out, found, code = done.out.replace("\r\n", "\n").rpartition(end)
        if not found:
            raise self._failure("a command did not end", done)
        err = done.err.replace("\r\n", "\n")
        return Completed(int(code), out, err if self._keeps_apart else out)

    def push(self, source: Path, destination: str) -> None:
        self._copy(["push", str(source), destination], source.name)

    def pull(self, source: str, destination: Path) -> None:
        self._copy(["pull", source, str(destination)], source)

    def _copy(self, arguments: Sequence[str], what: str) -> None:
        done = self._adb(arguments, TRANSFER_SECONDS)
        if done.code:
            raise self._failure(f"{arguments[0]} of {what}", done)

    def _adb(
        self, arguments: Sequence[str], timeout: float | None, on_line: Listener | None = None
    ) -> Completed:
        return run_process(["adb", "-s", self.serial, *arguments], self.address, timeout, on_line)

    def _settled(self) -> tuple[str | None, dict[str, str]]:
        """The state of this device and of all, once it is no longer about to change."""
        until = time.monotonic() + SETTLE_SECONDS
        if ":" in self.serial and self.serial not in self._states():
            # Over the network adb forgets a device that it lost.
            run_process(["adb", "connect", self.serial], self.address, 60.0)
        while True:
            states = self._states()
            state = states.get(self.serial)
            if state not in TRANSIENT_STATES or time.monotonic() > until:
                return state, states
            time.sleep(0.2)

    def _states(self) -> dict[str, str]:
        """The devices that adb lists, and the state of each."""
        done = run_process(["adb", "devices"], self.address, 60.0)
        if done.code:
            raise self._failure("adb devices", done)
        lines = [line.split(maxsplit=1) for line in done.out.splitlines()[1:]]
        # Lines that begin with * are about the server that adb has just started.
        return {line[0]: line[1] for line in lines if len(line) == 2 and line[0] != "*"}

    def _failure(self, what: str, done: Completed) -> DeviceError:
        """What adb means by its last lines."""
        lines = (done.err + done.out).strip().splitlines() or ["adb said nothing"]
        last = next((line for line in lines if "error" in line), lines[-1])
        # Clients of before 2020 have words of their own for it.
        last = last.replace("does not exist", "No such file or directory")
        fault, hint, note = _meaning(last, done.code)
        return DeviceError(f"{self.address}: {what}: {note}{last}", hint=hint, fault=fault)


def _meaning(line: str, code: int) -> tuple[Fault, str | None, str]:
    """The fault, what to do about it, and what to say before the line."""
    if DISK_FULL in line:
        return Fault.FULL, NO_SPACE, ""
    if "Read-only file system" in line:
        return Fault.OTHER, NO_SPACE, ""
    if "unauthorized" in line:
        return Fault.REFUSED, STATES["unauthorized"], ""
    # Only failures are asked about: a code of 0 came of a connection that broke.
    if code == 0 or any(sign in line for sign in LOST_SIGNS):
        hint = "look at the cable, and at `adb devices`; then try again"
        return Fault.CONNECTION_LOST, hint, "the connection was lost: "
    return Fault.OTHER, None, ""
