"""One at a time on a device, whoever comes, from whichever machine and by whichever name.

<home>/.lock/holder     the device's boot id, its uptime, who holds it, and a token of that hold

`mkdir` is atomic on every file system. A lock is stale where the device has restarted since, where
it is older than six hours, or where the process that held it is no more; whoever finds it takes it.
"""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgekit.devices.device import Device
from edgekit.errors import DeviceError
from edgekit.transports.base import Listener

STALE_SECONDS = 6 * 3600
PAUSE_SECONDS = 1.0
EMPTY_TRIES = 10
"""After so many looks a lock that names nobody is taken: its device died between two writes."""
UPTIME = "{ cut -d. -f1 /proc/uptime 2>/dev/null || date +%s; }"
"""Seconds that only grow: a board without a clock leaps when it finds the network."""

_held: set[str] = set()
"""The tokens of this process."""


@dataclass(frozen=True)
class Holder:
    """What a lock says of itself."""

    boot: str
    since: int
    who: str
    """user@host pid"""
    token: str
    """Of this one hold; it begins with the machine's MAC address: hosts may share their names."""

    def __str__(self) -> str:
        """As it stands in the lock."""
        return f"{self.boot}\t{self.since}\t{self.who}\t{self.token}"

    @classmethod
    def read(cls, text: str) -> Holder | None:
        """None for what is no lock's content, as one that was cut off."""
        boot, since, who, token = ([*text.rstrip("\n").split("\t"), "", "", "", ""])[:4]
        return cls(boot, int(since), who, token) if token and since.isdecimal() else None

    def is_stale(self, boot: str, now: int) -> bool:
        """Whether nobody stands behind it any more, on a device of this boot and uptime."""
        return self.boot != boot or now - self.since > STALE_SECONDS or self._has_died()

    def _has_died(self) -> bool:
        """Of another machine's process nothing is known."""
        name, _, pid = self.who.rpartition(" ")
        ours = name == _me() and self.token.startswith(_machine())
        if not ours or not pid.isdecimal():
            return False
        if int(pid) == os.getpid():
            return self.token not in _held
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def _me() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container may have no name for it
        user = f"user {os.getuid()}"
    return f"{user}@{platform.node()}"


def _machine() -> str:
    return f"{uuid.getnode():x}-"


@contextmanager
def held(device: Device, on_message: Listener) -> Iterator[None]:
    """Have a device for oneself; where another one works on it, wait, and say so.

    Args:
        on_message: called once for each holder that is waited for.

    Raises:
        DeviceError: the way broke, or the device is full.
    """
    token = _machine() + uuid.uuid4().hex
    _held.add(token)
    try:
        _acquire(device, token, on_message)
        try:
            yield
        finally:
            _release(device, token)
    finally:
        _held.discard(token)


def _acquire(device: Device, token: str, on_message: Listener) -> None:
    lock, announced, empty = shlex.quote(f"{device.home}/.lock"), "", 0
    begin = shlex.quote(f"{device.boot}\t")
    end = shlex.quote(f"\t{_me()} {os.getpid()}\t{token}")
    # A lock that could not be filled in is nobody's: it would be waited for.
    command = (
        f"now=$({UPTIME}); if mkdir {lock} 2>/dev/null; then "
        f"printf '%s%s%s' {begin} $now {end} > {lock}/holder || {{ rm -rf {lock}; exit 1; }}; "
        f"elif test -d {lock}; then echo $now; cat {lock}/holder 2>/dev/null || true; "
        # It was let go between the two looks, or it cannot be made at all: mkdir says why.
        f"else mkdir {lock} && rmdir {lock} && echo $now; fi"
    )
    while True:
        now, _, text = device.sh(command).partition("\n")
        if not now:
            return
        holder = Holder.read(text)
        empty = 0 if holder else empty + 1
        if holder.is_stale(device.boot, int(now)) if holder else empty > EMPTY_TRIES:
            _break(device, text)
            continue
        if holder and holder.token != announced:
            announced = holder.token
            on_message(
                f"{device.name}: waiting for {holder.who}, who works on it (if that machine is no "
                f"more: edgekit device unlock {device.name} --break-lock)"
            )
        time.sleep(PAUSE_SECONDS)


def look(device: Device) -> tuple[Holder, int] | None:
    """Who holds a device, and for how many seconds; None where nobody does: a stale lock is none.

    Raises:
        DeviceError: the way broke.
    """
    now, text = _look(device)
    holder = Holder.read(text)
    if holder is None or holder.is_stale(device.boot, now):
        return None
    return holder, now - holder.since


def break_lock(device: Device, holder: Holder) -> None:
    """Take a lock away from this holder, dead or alive, and from no other who came meanwhile.

    Raises:
        DeviceError: the way broke.
    """
    _break(device, str(holder))


def _look(device: Device) -> tuple[int, str]:
    """The device's uptime, and what the lock says."""
    holder = shlex.quote(f"{device.home}/.lock/holder")
    now, _, text = device.sh(f"{UPTIME}; cat {holder} 2>/dev/null || true").partition("\n")
    return int(now), text


def _break(device: Device, text: str) -> None:
    """Remove a stale lock, and none that another one has taken meanwhile."""
    lock, away = f"{device.home}/.lock", f"{device.home}/.lock-{uuid.uuid4().hex[:8]}"
    same = f'test "$(cat {shlex.quote(lock)}/holder 2>/dev/null)" = {shlex.quote(text.rstrip())}'
    moved = f"mv {shlex.quote(lock)} {shlex.quote(away)} 2>/dev/null && rm -rf {shlex.quote(away)}"
    device.sh(f"if {same}; then {moved}; fi; true")


def _release(device: Device, token: str) -> None:
    """Where the way is broken the lock stays, and the next try takes it: its token is nobody's."""
    lock = shlex.quote(f"{device.home}/.lock")
    mine = f'case "$(cat {lock}/holder 2>/dev/null)" in *{token}) rm -rf {lock};; esac'
    try:
        device.transport.run(mine)
    except DeviceError:
        return
