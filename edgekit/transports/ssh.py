"""A device reached with the system's OpenSSH client: what `ssh HOST` reaches, edgekit reaches.

One connection is opened and shared by all commands (ControlMaster), so ssh_config, agents, jump
hosts and hardware keys work as they do by hand. Nothing is ever asked: a host key that is unknown
or changed, and a password, end in an error that says what to do.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
import uuid
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr

from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, Fault
from edgekit.transports._process import ENGLISH_LOCALE, run_process
from edgekit.transports._ssh_faults import deaf_shell, explain
from edgekit.transports.base import (
    DISK_FULL,
    READ_ONLY,
    READ_ONLY_HINT,
    Completed,
    Listener,
    Transport,
)

CONNECT_SECONDS = 10
LOGIN_SECONDS = 60.0  # for all of it: jump hosts, a touch on a hardware key
SHELL_SECONDS = 12.0
"""Once it is logged in: a board of 512 MB that swaps takes a few to start a shell."""
LOOK_SECONDS = 0.2
SOCKET = "way"
GREETING = b"edgekit is connected\n"
# ssh adds 17 characters to a socket's path, and a socket's path ends at 104 on some systems.
MAX_FOLDER_LENGTH = 55

MASTER_LOG = "master.log"
OWN_255 = "edgekit: the command itself ended with 255"
"""ssh ends with 255 where it fails itself; this line tells a command's own 255 from that."""
WRAPPER = f'sh -c "$1"; code=$?; test $code != 255 || echo "{OWN_255}" >&2; exit $code'


class Ssh(Transport):
    transport: Literal["ssh"] = "ssh"
    host: str = Field(pattern=r"^[^-\s]\S*$")
    """user@host, or a name of ssh_config."""
    port: int | None = Field(default=None, ge=1, le=65535)
    config: str | None = None
    """The file for `ssh -F`, instead of ~/.ssh/config."""
    identity: str | None = None
    """The private key, where neither ssh_config nor an agent names it."""
    accept_new_host_key: bool = Field(default=False, exclude=True)
    """Trust a host that is not known yet; a changed key is refused all the same."""

    _folder: Path | None = PrivateAttr(default=None)
    _place: ExitStack | None = PrivateAttr(default=None)
    """Holds the folder."""
    _master: subprocess.Popen[bytes] | None = PrivateAttr(default=None)
    _left: str = PrivateAttr(default="")
    """The mark of a command that may run on where the connection broke."""

    @property
    def address(self) -> str:
        return f"{self.host} port {self.port}" if self.port else self.host

    def open(self) -> None:
        self.close()
        if shutil.which("ssh") is None:
            raise DeviceError(
                f"{self.address}: the program ssh is not on this machine",
                hint="install it, e.g. on Debian: apt-get install openssh-client",
                fault=Fault.MISSING_PROGRAM,
            )
        self._place = ExitStack()
        self._folder = self._place.enter_context(_short_folder())
        try:
            # The remote `cat` ends with this process, however it ends, and the master with it.
            arguments = [*self._command("yes"), f"echo {GREETING.decode().strip()}; exec cat"]
            with (self._folder / MASTER_LOG).open("wb") as log:
                self._master = subprocess.Popen(
                    arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=os.environ | ENGLISH_LOCALE,
                    start_new_session=True,
                )
            self._await_greeting(self._master)
        except BaseException:
            self.close()
            raise
        if self._left:
            self._stop(self._left)
            self._left = ""

    def run(
        self, command: str, *, timeout: float | None = 60.0, on_line: Listener | None = None
    ) -> Completed:
        return self._ssh(command, timeout=timeout, on_line=on_line)

    def by_hand(self, command: str) -> str:
        return shlex.join(["ssh", *self.login, command])

    def push(self, source: Path, destination: str) -> None:
        done = self._ssh(f"cat > {shlex.quote(destination)}", source=source)
        self._check(done, destination)

    def pull(self, source: str, destination: Path) -> None:
        part = destination.with_name(f".{destination.name}.part")
        try:
            done = self._ssh(f"cat {shlex.quote(source)}", sink=part)
            self._check(done, source)
            part.replace(destination)
        finally:
            part.unlink(missing_ok=True)

    def close(self) -> None:
        master, self._master = self._master, None
        if master:
            for stream in filter(None, (master.stdin, master.stdout)):
                with contextlib.suppress(OSError):
                    stream.close()
            if master.poll() is None and self._folder:
                self._end(master)
        self._folder = None
        if self._place:
            self._place.close()
            self._place = None

    def _end(self, master: subprocess.Popen[bytes]) -> None:
        program, *options = self._command("no")
        arguments = [program, "-O", "exit", *options]
        none = subprocess.DEVNULL
        try:
            subprocess.run(arguments, stdin=none, stdout=none, stderr=none, timeout=5)
            master.wait(timeout=5)
        except subprocess.TimeoutExpired:
            master.kill()
            master.wait()

    def _command(self, master: Literal["yes", "no"]) -> list[str]:
        """The ssh command up to the host. The client of a master must not connect on its own where
        the master is gone: that would hide a broken connection."""
        assert self._folder
        checking = "accept-new" if self.accept_new_host_key else "yes"
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": checking,
            "ConnectTimeout": str(CONNECT_SECONDS),
            "ServerAliveInterval": "10",
            "ServerAliveCountMax": "3",
            "ControlMaster": master,
            "ControlPersist": "no",
            "ControlPath": _escaped(self._folder / SOCKET),
            "LogLevel": "ERROR",
            # Of ssh_config, for a person's sessions only.
            "ClearAllForwardings": "yes",
            "RemoteCommand": "none",
            "RequestTTY": "no",
            "PermitLocalCommand": "no",
        }
        if master == "no":
            options["ProxyCommand"] = "false"
        arguments = ["ssh", *(f"-o{key}={value}" for key, value in options.items())]
        if self.identity:
            arguments.append("-oIdentitiesOnly=yes")
        return [*arguments, *self.login[:-1], "--", self.host]

    @property
    def login(self) -> list[str]:
        """What ssh is given to reach the device, as a person would write it."""
        paths = (("-F", self.config), ("-i", self.identity))
        words = [
            w for option, path in paths if path for w in (option, str(Path(path).expanduser()))
        ]
        return [*words, *(["-p", str(self.port)] if self.port else []), self.host]

    def _await_greeting(self, master: subprocess.Popen[bytes]) -> None:
        assert master.stdout
        assert self._folder
        read, let_in = b"", math.inf
        end = time.monotonic() + LOGIN_SECONDS
        while GREETING not in read:
            if let_in == math.inf and (self._folder / SOCKET).exists():
                let_in = time.monotonic()  # ssh makes it once it is logged in
            if time.monotonic() > min(end, let_in + SHELL_SECONDS):
                master.kill()
                raise (
                    explain(self.address, self.login, "Operation timed out while logging in")
                    if let_in == math.inf
                    else deaf_shell(self.address, self.login)
                )
            ready, _, _ = select.select([master.stdout], [], [], LOOK_SECONDS)
            if not ready:
                continue
            chunk = os.read(master.stdout.fileno(), 65536)
            if not chunk:
                master.wait()
                raise explain(self.address, self.login, self._master_log())
            read += chunk
        noise = read.partition(GREETING)[0].decode(errors="replace").strip()
        if noise:
            # It would stand before the output of each command, and before each file.
            raise DeviceError(
                f"{self.address}: a start-up file of its shell prints {noise[:80]!r}",
                hint="let it print for people alone: `case $- in *i*) ;; *) return;; esac` above "
                "that line, which is mostly in ~/.bashrc",
                fault=Fault.UNREACHABLE,
            )

    def _ssh(
        self,
        command: str,
        *,
        timeout: float | None = None,
        on_line: Listener | None = None,
        source: Path | None = None,
        sink: Path | None = None,
    ) -> Completed:
        if self._master is None:
            raise DeviceError(
                f"{self.address}: the connection is not open", fault=Fault.CONNECTION_LOST
            )
        mark = f"EDGEKIT_COMMAND={uuid.uuid4().hex}"
        inside = f"export LC_ALL=C {mark}; {WRAPPER}"
        line = f"sh -c {quoted(inside)} sh {quoted(command)}"
        try:
            arguments = [*self._command("no"), line]
            done = run_process(arguments, self.address, timeout, on_line, source, sink)
        except BaseException:
            self._stop(mark)
            raise
        if done.code != 255:
            return done
        own, found, _ = done.err.rpartition(OWN_255)
        if found:
            return Completed(255, done.out, own)
        self._left = mark
        raise explain(self.address, self.login, f"{self._master_log()}\n{done.err}", was_open=True)

    def _stop(self, mark: str) -> None:
        """End a command, and what it started, that nobody waits for any more: ssh leaves it running
        on the device, where it would disturb the next measurement."""
        command = (
            f"for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/environ | grep -qx {mark} && "
            "kill -9 ${p#/proc/}; done 2> /dev/null"
        )
        with contextlib.suppress(DeviceError):
            run_process([*self._command("no"), f"sh -c {quoted(command)}"], self.address, 10)

    def _master_log(self) -> str:
        """What the master printed to stderr."""
        log = self._folder / MASTER_LOG if self._folder else None
        return log.read_text(encoding="utf-8", errors="replace") if log and log.exists() else ""

    def _check(self, done: Completed, path: str) -> None:
        if done.code == 0:
            return
        full = DISK_FULL in done.err or "quota exceeded" in done.err
        read_only = READ_ONLY_HINT if READ_ONLY.search(done.err) else None
        raise DeviceError(
            f"{self.address}: {path}: {(done.err.strip().splitlines() or ['failed'])[-1]}",
            hint="free some space on the device" if full else read_only,
            fault=Fault.FULL if full else Fault.OTHER,
        )


def quoted(text: str) -> str:
    """For the login shell, which need not be POSIX's: fish reads a backslash between single quotes
    as its own."""
    parts = filter(None, re.split(r"([\\'])", text))
    return "".join(f"\\{part}" if part in "\\'" else f"'{part}'" for part in parts)


def _short_folder() -> AbstractContextManager[Path]:
    """A private folder whose path leaves room for a socket's name."""
    too_long = len(tempfile.gettempdir()) > MAX_FOLDER_LENGTH
    return temporary_folder(Path("/tmp") if too_long else None)


def _escaped(path: Path) -> str:
    """For ssh, which expands % in ControlPath."""
    return str(path).replace("%", "%%")
