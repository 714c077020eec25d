"""The contract of a transport: a way to a device, over which commands run and files travel.

Its pydantic fields are its keys in the inventory. What a command does is the device's business and
stands in `Completed`; DeviceError is raised only where the way itself fails.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, field_validator

from edgekit.evidence import Evidence

DISK_FULL = "No space left on device"
"""How a program on a device says so, in English: every command runs with LC_ALL=C."""
READ_ONLY = re.compile(r"Read-only file system|mkdir: .*Permission denied")
READ_ONLY_HINT = (
    "name a `home` in the inventory that can be written to, as /var/tmp/edgekit; a Raspberry Pi "
    "with an overlay file system: sudo raspi-config; one whose card failed tells it in `dmesg`"
)
Listener = Callable[[str], None]
"""Called with each line as it comes: of a command's output, or of what is being done."""


def ignore(line: str) -> None:
    """The listener of one who does not want to know."""


@dataclass(frozen=True)
class Completed:
    """What came of a command."""

    code: int
    out: str
    err: str


class Transport(BaseModel, ABC):
    """A device's entry in the inventory, and the open way to it: `with transport: transport.run()`.

    Not safe for threads: several devices at once are several transports.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    evidence: ClassVar[Evidence] = Evidence.MEASURED
    """Of what is seen on the device, unless the agent finds out that it runs in an emulator."""
    confines: ClassVar[bool] = False
    """Whether `confined` keeps what it runs to its folder."""
    without_python: ClassVar[str] = (
        "edgekit device setup {name}, or name another one with `python` in the inventory"
    )
    """What to do where no Python runs on the device."""

    transport: str
    """The plug-in's name. Each narrows it to `Literal[...]`."""
    home: str = "~/edgekit"
    """The folder on the device that is edgekit's; nothing outside it is written. An absolute path,
    or one under `~/`."""
    python: str | None = None
    """The Python that runs the agent there; the one in <home>/venv, else python3, unless named."""

    groups: list[str] = []
    """The groups it belongs to: `deploy --group NAME` means all of one."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: str) -> str:
        if not home.startswith(("/", "~/")) or not home.strip("~/") or not home.isprintable():
            raise ValueError("an absolute path, or one under ~/, expected")
        return home

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the device is, as a person names it: pi@host, serial R58M, this machine."""

    def prepare(self, on_message: Listener) -> None:
        """Make what the way itself needs, once, as the device enters the inventory.

        Raises:
            DeviceError: it cannot be made; the hint says what is missing.
        """

    def open(self) -> None:
        """Reach the device.

        Raises:
            DeviceError: it is not there, or does not let us in; the hint says what to do.
        """

    @abstractmethod
    def run(
        self, command: str, *, timeout: float | None = 60.0, on_line: Listener | None = None
    ) -> Completed:
        """Run a line of POSIX shell on the device, with nothing on its stdin.

        Args:
            timeout: seconds, None for no limit.
            on_line: called with each line that the command prints to stdout, as it comes.

        Raises:
            DeviceError: the connection broke, or the time is over.
        """

    def by_hand(self, command: str) -> str:
        """How a person runs a command there, from this machine's shell."""
        return f"on the device: {command}"

    def confined(self, command: str, folder: str) -> str:
        """A command that runs a model, so that it can do no harm to this machine: where the device
        is another one, as it stands."""
        return command

    @abstractmethod
    def push(self, source: Path, destination: str) -> None:
        """Copy a file to the device, over whatever stands there. `destination` is an absolute path
        in a folder that exists. A connection that breaks may leave the beginning of the file: who
        pushes checks the digest.

        Raises:
            DeviceError: the connection broke, or the device could not write (it is full, ...).
        """

    @abstractmethod
    def pull(self, source: str, destination: Path) -> None:
        """Copy a file, given by its absolute path, from the device.

        Raises:
            DeviceError: there is no such file, or the connection broke.
        """

    def close(self) -> None:
        """Let go of the device. May be called twice, and when the connection is broken."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
