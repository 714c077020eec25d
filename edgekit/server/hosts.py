"""Where a server listens, and what requests may call it."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server there."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def names_of(host: str) -> list[str]:
    """The names that a request may call the server by."""
    own = {*LOOPBACK, _in_url(host)}
    with suppress(ValueError, OSError):
        if ipaddress.ip_address(host).is_unspecified:  # every address of this machine
            name = socket.gethostname()
            own |= {name, socket.getfqdn()}
            own |= {_in_url(str(at[4][0])) for at in socket.getaddrinfo(name, None)}
    return sorted(own)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
