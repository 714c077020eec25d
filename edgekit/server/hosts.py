"""Where a server listens, and what requests may call it."""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HOST_HEADER = re.compile(r"(\[[0-9a-f:.]+\]|[^][:@/\s]+)(:\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class OwnNames:
    """What requests may call a server by.

    >>> own = OwnNames(frozenset(["localhost"]), any_address=True)
    >>> [own.allow(host) for host in ("localhost:8000", "192.168.0.7", "[fe80::1]", "evil.example")]
    [True, True, True, False]
    """

    names: frozenset[str]
    any_address: bool = False
    """Any IP address too. A page elsewhere can make a name of its own point here, and so read what
    is here; it cannot make an address do so."""

    def allow(self, header: str) -> bool:
        """
        Args:
            header: a request's Host.
        """
        found = HOST_HEADER.fullmatch(header)
        name = found[1].lower() if found else ""
        return name in self.names or (self.any_address and _is_address(name))


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(name.strip("[]"))
        return True
    return False


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server there."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def names_of(host: str) -> OwnNames:
    """The names that a request may call a server by that listens there."""
    own = {*LOOPBACK, f"[{host}]" if ":" in host else host.lower()}
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:  # every address of this machine
            name = socket.gethostname().lower()
            names = {name, f"{name}.local", socket.getfqdn().lower()}
            return OwnNames(frozenset(own | names), any_address=True)
    return OwnNames(frozenset(own))
