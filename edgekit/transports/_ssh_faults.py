"""What the output of a failed ssh means, and what fixes it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from edgekit.errors import DeviceError, Fault


@dataclass(frozen=True)
class _Sign:
    pattern: re.Pattern[str]
    fault: Fault
    message: str
    hint: str


def _sign(pattern: str, fault: Fault, message: str, hint: str) -> _Sign:
    return _Sign(re.compile(pattern, re.IGNORECASE), fault, message, hint)


# The first that is found counts: a changed key is "verification failed" as well.
SIGNS = (
    _sign(
        r"host identification has changed|host key for .* has changed|revoked host key",
        Fault.CHANGED_HOST_KEY,
        "its host key is not the one that is known: it was installed anew, or somebody stands "
        "between",
        "only if it was installed anew: {forget}, then connect once by hand: ssh {host}",
    ),
    _sign(
        r"no .* host key is known for|host key verification failed",
        Fault.UNKNOWN_HOST_KEY,
        "its host key is not known yet",
        "compare it and accept it by hand: ssh {host}; or, in a network you trust: "
        "ssh -o StrictHostKeyChecking=accept-new {host} true, as --accept-new-host-key does for a "
        "device that is added",
    ),
    _sign(
        r"unprotected private key file",
        Fault.PERMISSION_DENIED,
        "the private key can be read by others, so ssh does not use it",
        "chmod 600 on the key",
    ),
    _sign(
        r"permission denied|too many authentication failures|sign_and_send_pubkey",
        Fault.PERMISSION_DENIED,
        "it lets no key of this user in",
        "put a key there: ssh-copy-id {host}; a key with a passphrase goes into an agent: ssh-add",
    ),
    _sign(
        r"could not resolve|name or service not known|temporary failure in name resolution",
        Fault.UNREACHABLE,
        "there is no such host name",
        "look for a typing error; names that end with .local want mDNS (avahi-daemon), an IP "
        "address works too",
    ),
    _sign(
        r"connection refused",
        Fault.REFUSED,
        "it is there, and no ssh server listens on that port",
        "switch it on there: sudo systemctl enable --now ssh; or name its port with --port",
    ),
    _sign(
        r"timed out|timeout, server .* not responding",
        Fault.NO_ANSWER,
        "it does not answer",
        "is it switched on, and in the same network? ping it",
    ),
    _sign(
        r"no route to host|network is unreachable|host is down",
        Fault.UNREACHABLE,
        "no way leads to it",
        "is it switched on, and in the same network? ping it",
    ),
)
LOST = _sign(
    r"connection (?:reset|closed|aborted)|broken pipe|connection to .* closed",
    Fault.CONNECTION_LOST,
    "the connection broke",
    "what was done is kept; run the command again",
)


def explain(address: str, login: list[str], output: str, *, was_open: bool = False) -> DeviceError:
    """The error for what ssh said.

    Args:
        login: the options and the host that ssh is given, so that a hint reaches the same device.
        was_open: the connection stood before, so whatever ssh says means that it broke.
    """
    signs = () if was_open else (*SIGNS, LOST)
    sign = next((s for s in signs if s.pattern.search(output)), LOST if was_open else None)
    last = _last(output)
    if sign is None:
        return DeviceError(
            f"{address}: ssh failed: {last}",
            hint=f"what does `ssh {shlex.join(login)} true` say?",
            fault=Fault.UNREACHABLE,
        )
    # ssh says itself which file and which entry are to be removed.
    forget = re.search(r"^\s*(ssh-keygen .*-R .*?)\s*$", output, re.MULTILINE)
    name = login[-1].rpartition("@")[2]
    if "-p" in login:
        name = f"[{name}]:{login[login.index('-p') + 1]}"
    hint = sign.hint.format(
        host=shlex.join(login),
        forget=forget[1] if forget else f"ssh-keygen -R {shlex.quote(name)}",
    )
    return DeviceError(
        f"{address}: {sign.message}" + (f" ({last})" if last else ""), hint=hint, fault=sign.fault
    )


def deaf_shell(address: str, login: list[str]) -> DeviceError:
    """It lets us in, and nothing comes back."""
    return DeviceError(
        f"{address}: it lets this user in, and its shell does not run what it is told: a start-up "
        "file execs another shell (fish, zsh), or waits for something",
        hint="put `case $- in *i*) ;; *) return;; esac` above that line, which is mostly in "
        f"~/.bashrc; then `ssh {shlex.join(login)} true` ends at once",
        fault=Fault.UNREACHABLE,
    )


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip("@ \r")]
    # The client of a master that is gone speaks of its own way round it.
    lines = [line for line in lines if "UNKNOWN port" not in line]
    return lines[-1] if lines else ""
