"""The links of one model on a device, and what stood before the last switch.

<home>/models/<name>/current     the release in use: a link, switched atomically
<home>/models/<name>/previous    the one before it
<home>/models/<name>/switch      the last deployment's switch: four words, see `Switch`
"""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace

from edgekit.devices.bundle.info import NAME
from edgekit.devices.device import Device
from edgekit.devices.files import SYNC_SECONDS
from edgekit.errors import DeviceError, InputError

NONE = "-"


@dataclass(frozen=True)
class Switch:
    """The last switch of a deployment, written down before it is made."""

    release: str
    current: str | None
    """What was in use before."""
    previous: str | None
    """What was `previous` before."""
    is_proved: bool = False
    """Whether a service took the release, and it did well."""

    def __str__(self) -> str:
        """Four words: release, current and previous, proved."""
        proved = "proved" if self.is_proved else NONE
        return f"{self.release} {self.current or NONE} {self.previous or NONE} {proved}"

    @classmethod
    def read(cls, text: str) -> Switch | None:
        """None for what was cut off."""
        words = text.split()
        if len(words) != 4:
            return None
        current, previous = (None if word == NONE else word for word in words[1:3])
        return cls(words[0], current, previous, words[3] != NONE)


class ModelLinks:
    """
    Raises:
        InputError: the name is none of a model.
    """

    def __init__(self, device: Device, name: str) -> None:
        if not re.fullmatch(NAME, name):
            raise InputError(
                f"{name!r} is no name of a model", hint="letters, digits, and _ . - between them"
            )
        self.device = device
        self.name = name
        self.folder = f"{device.home}/models/{name}"

    def path(self, *parts: str) -> str:
        """Quoted for the shell."""
        return shlex.quote("/".join((self.folder, *parts)))

    def current(self, link: str = "current") -> str | None:
        """The release that a link names."""
        done = self.device.transport.run(f"readlink {self.path(link)}")
        return done.out.strip().rpartition("/")[2] if done.code == 0 else None

    def previous(self) -> str | None:
        """The release that was in use before the one that is."""
        unnamed = self.current("previous.new")
        return unnamed if unnamed and unnamed != self.current() else self.current("previous")

    def last_switch(self) -> Switch | None:
        """The switch to the release in use; None where it is not known, as after a rollback."""
        text = self.device.sh(f"cat {self.path('switch')} 2>/dev/null || true")
        switch = Switch.read(text)
        return switch if switch and switch.release == self.current() else None

    def plan_switch(self, release: str) -> Switch:
        """Write down what stands now, before a switch to another release."""
        planned = Switch(release, self.current(), self.previous())
        self._write(planned)
        return planned

    def note_proved(self, switch: Switch) -> None:
        """Write down that its release did well. Where that fails the next one looks again."""
        with suppress(DeviceError):
            self._write(replace(switch, is_proved=True))

    def _write(self, switch: Switch) -> None:
        new = self.path("switch.new")
        self._synced(f"echo {shlex.quote(str(switch))} > {new} && mv {new} {self.path('switch')}")

    def switch(self, release: str) -> None:
        """Put a release in use, at one stroke; the one before it stays known."""
        before = self.current()
        if not before or before == release:
            self._link("current", release)
            return
        # Made first, named last: whatever is cut off, one of the two tells the release before.
        self._synced(f"ln -sfn {_target(before)} {self.path('previous.new')}")
        self._link("current", release)
        self._synced(f"mv -T {self.path('previous.new')} {self.path('previous')}")

    def switch_back(self, switch: Switch) -> None:
        """Have `current` and `previous` as they were before a switch."""
        if switch.current:
            self._link("current", switch.current)
        else:
            self._synced(f"rm -f {self.path('current')}")
        if switch.previous and self.is_there(switch.previous):
            self._link("previous", switch.previous)
        else:
            self._synced(f"rm -f {self.path('previous')} {self.path('previous.new')}")

    def is_there(self, release: str) -> bool:
        """Whether a release is kept on the device."""
        there = f"test -d {self.path('releases', release)}"
        return self.device.transport.run(there).code == 0

    def _link(self, name: str, release: str) -> None:
        new, there = self.path(f"{name}.new"), f"test -d {self.path('releases', release)}"
        self._synced(
            f"{there} && ln -sfn {_target(release)} {new} && mv -T {new} {self.path(name)}"
        )

    def _synced(self, command: str) -> None:
        self.device.sh(f"{command} && sync", timeout=SYNC_SECONDS)


def _target(release: str) -> str:
    return shlex.quote(f"releases/{release}")
