"""The inventory: which devices there are and how to reach them, in a file a person can edit.

    # ~/.config/edgekit/devices.yaml
    pi5: {transport: ssh, host: pi@raspberrypi.local}
    phone: {transport: adb, serial: R58M123}
    a76: {transport: emulated, cpu: cortex-a76}

No passwords stand in it: ssh has its agent and its configuration.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from edgekit import transports
from edgekit.discovery import find
from edgekit.transports.base import Transport

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@cache
def find_transports() -> dict[str, type[Transport]]:
    return find(transports, Transport)


def inventory_path() -> Path:
    """$EDGEKIT_DEVICES, else edgekit/devices.yaml in the user's configuration folder."""
    if os.environ.get("EDGEKIT_DEVICES"):
        return Path(os.environ["EDGEKIT_DEVICES"])
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "edgekit" / "devices.yaml"


def read_inventory(path: Path | None = None) -> dict[str, Transport]:
    """All devices by name; none where there is no file yet.

    Raises:
        ConfigError: every problem in the file, each with its line.
    """
    path = path or inventory_path()
    if not path.exists():
        return {}
    document = Document(path)


def find_device(name: str, path: Path | None = None) -> Transport:
    """
    Raises:
        InputError: no such device, with those there are.
    """


def add_device(name: str, transport: Transport, path: Path | None = None) -> None:
    """Write one more entry; comments and the order of the file stay.

    Raises:
        InputError: the name is taken, or is none.
    """
