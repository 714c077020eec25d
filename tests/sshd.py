"""A real OpenSSH server on loopback for tests, run by the current user, with keys of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from edgekit.devices.inventory import add_device
from edgekit.transports.ssh import Ssh

PROGRAM = "/usr/sbin/sshd"
HOST = "edgekit-test"  # the name in the ssh configuration
LISTENING, TAKEN = "Server listening on", "Address already in use"
PORTS = 5
"""That are tried: tests in other processes take some too."""


class Sshd:
    """`with Sshd(folder) as server: server.way()` gives the transport to it.

    Args:
        variables: of the environment of each command there: HOME, a PATH with another Python.
        options: lines for sshd_config.
    """

    def __init__(
        self, folder: Path, variables: dict[str, str] | None = None, options: str = ""
    ) -> None:
        if not Path(PROGRAM).exists():
            pytest.skip(f"{PROGRAM} is missing: apt-get install openssh-server")
        self.folder = folder
        self.home = folder / "home"
        self.config = folder / "ssh_config"
        self.known_hosts = folder / "known_hosts"
        self.process: subprocess.Popen[bytes] | None = None
        self.home.mkdir(parents=True)
        for name in ("host", "user", "stranger"):
            self.make_key(name)
        # sshd refuses an authorized_keys that others may write, and a folder above it too.
        (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
        pairs = {"HOME": str(self.home)} | (variables or {})
        environment = " ".join(f'"{name}={value}"' for name, value in pairs.items())
        self.settings = (
            f"ListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
            f"SetEnv {environment}\nLogLevel INFO\n{options}\n"
        )
        self._take_port()

    def _take_port(self) -> None:
        self.port = _free_port()
        (self.folder / "sshd_config").write_text(f"Port {self.port}\n{self.settings}")
        self.config.write_text(
            f"Host {HOST}\n  HostName 127.0.0.1\n  Port {self.port}\n  User {_user()}\n"
            f"  IdentityFile {self.folder}/user\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )
        self.know()

    def make_key(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
        subprocess.run(words, check=True)

    def know(self, key: str = "host") -> None:
        """Write a key into known_hosts as the server's."""
        public = (self.folder / f"{key}.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    def way(self, **fields: object) -> Ssh:
        return Ssh.model_validate({"host": HOST, "config": str(self.config), **fields})

    def start(self) -> None:
        """Start it, on another port where somebody took this one meanwhile."""
        for _ in range(PORTS):
            said = self._begin()
            if LISTENING in said:
                return
            if TAKEN not in said:
                break
            self._take_port()
        raise AssertionError(said)

    def _begin(self) -> str:
        """What the server said until it listened, or ended."""
        words = [PROGRAM, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        path = self.folder / "sshd.log"
        with path.open("wb") as log:
            self.process = subprocess.Popen(words, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 10
        # Not a look at the port: another test's server may answer there.
        while time.monotonic() < deadline and LISTENING not in path.read_text():
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        return path.read_text()

    def cut(self) -> None:
        """Kill the server and every connection it has."""
        if self.process is None:
            return
        for pid in [*_children(self.process.pid), self.process.pid]:
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def __enter__(self) -> Sshd:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where the root's sshd separates privileges
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()


@contextmanager
def two_devices(folder: Path) -> Iterator[dict[str, Sshd]]:
    """pi-a and pi-b, in the inventory's group pis; both run this Python."""
    with ExitStack() as stack:
        found = {}
        for name in ("pi-a", "pi-b"):
            server = stack.enter_context(Sshd(folder / name))
            add_device(name, server.way(groups=["pis"], python=sys.executable))
            found[name] = server
        yield found


def _children(pid: int) -> list[int]:
    """The processes a process started, and theirs; the connections of a server."""
    found = []
    for child in _read(f"/proc/{pid}/task/{pid}/children").split():
        # A connection's own commands may outlive it, as on a device.
        if "sshd" in _read(f"/proc/{child}/cmdline"):
            found += [*_children(int(child)), int(child)]
    return found


def _read(path: str) -> str:
    """A file of /proc; nothing where the process ended meanwhile."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
