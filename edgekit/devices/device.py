"""A device at work: its folder, files pushed by their hash, and the agent on it.

<home>/files/<sha256>      what was pushed, checked there; never pushed twice
<home>/venv/               what `edgekit device setup` made
<home>/work/<run>/         one run of the agent; removed afterwards
<home>/models/<name>/      releases and `current` of a deployed model
<home>/.lock/              there while somebody works on the device
"""

from __future__ import annotations

import re
import shlex
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from edgekit.devices.agent_result import AgentResult, crash, message_of, read_result
from edgekit.engine.action import Progress
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, EdgekitError, Fault
from edgekit.transports.base import Listener, Transport

Runner = Literal["python", "shell"]
"""What runs a model on a device: Python, or a program in the device's shell, as on phones."""
ON_32_BITS = {"aarch64": "armv7l", "x86_64": "i686"}
"""What a Python of 32 bits on a kernel of 64 is, by what the kernel says."""
FULL = "No space left on device"
RETURN_SECONDS = 90.0
"""How long a device that fell silent is waited for: a board takes 20 to 60 s to start."""
RETURN_PAUSE = 2.0
OLD = "-mtime +0"
"""For find: what a broken connection left a day ago or earlier, and nobody works with any more."""
STALE_DAYS = 7
"""After which a file that no release holds is removed."""


class Device:
    """An open device: `with Device("pi5", transport) as device`.

    Args:
        interrupted: once it is set, no further command is begun.
    """

    def __init__(
        self, name: str, transport: Transport, interrupted: threading.Event | None = None
    ) -> None:
        self.name = name
        self.transport = transport
        self.interrupted = interrupted or threading.Event()
        self.home = ""
        self.boot = ""

    def __enter__(self) -> Self:
        self.transport.open()
        try:
            self.home = self._home()
            self.boot = self._boot()
        except BaseException:
            self.transport.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    def sh(self, command: str, *, timeout: float | None = 60.0) -> str:
        """What a line of shell prints on the device.

        Raises:
            DeviceError: the way broke, the command ended with another code than 0, or somebody
                interrupted.
        """
        if self.interrupted.is_set():
            stopped = DeviceError(f"{self.name}: interrupted", fault=Fault.INTERRUPTED)
            stopped.exit_code = 130
            raise stopped
        done = self.transport.run(command, timeout=timeout)
        if done.code:
            raise self.error(command, done.code, done.err)
        return done.out

    def error(self, command: str, code: int, words: str) -> DeviceError:
        """What a failed command means."""
        last = (words.strip().splitlines() or ["nothing was said"])[-1]
        if FULL in words:
            return DeviceError(
                f"{self.name}: the device is full: {last}",
                hint=f"free some space there; `edgekit deploy --keep 1` keeps fewer releases, and "
                f"{self.home}/files may be deleted",
                fault=Fault.FULL,
            )
        return DeviceError(f"{self.name}: `{command[:200]}` ended with {code}: {last}")

    @property
    def python(self) -> str:
        """The Python that runs the agent, quoted for the shell."""
        if self.transport.python:
            return shlex.quote(self.transport.python)
        own = shlex.quote(f"{self.home}/venv/bin/python")
        found = self.transport.run(f"test -x {own}")
        return own if found.code == 0 else "python3"

    def ensure(self, path: Path) -> str:
        """Have a file on the device, and say where; what is there already, whole, is not sent.

        Raises:
            DeviceError: what arrived is not what was sent, the device is full, the way broke.
        """
        if self.missing([path]):
            self.need(path.stat().st_size, path.name)
            self._send(path)
        return self._stored(path)

    def _stored(self, path: Path) -> str:
        return f"{self.home}/files/{sha256_of(path)}"

    def _send(self, path: Path) -> None:
        """Push a file beside its place, check it there, and move it in."""
        destination = self._stored(path)
        digest = destination.rpartition("/")[2]
        part = f"{destination}.{uuid.uuid4().hex[:8]}.part"
        folder = shlex.quote(f"{self.home}/files")
        tidy = f"find {folder} -maxdepth 1 -name '*.part' {OLD} -exec rm -f {{}} +"
        self.sh(f"mkdir -p {folder} && {tidy}")
        try:
            self.transport.push(path, part)
            found = self.sh(f"sync; sha256sum < {shlex.quote(part)}", timeout=300)[:64]
            if found != digest:
                raise DeviceError(
                    f"{self.name}: {path.name} arrived with sha256 {found[:16]}, not {digest[:16]}",
                    hint="try again; if it happens again, the storage or the cable is faulty",
                    fault=Fault.HASH_MISMATCH,
                )
            self.sh(f"mv {shlex.quote(part)} {shlex.quote(destination)}")
        except DeviceError:
            self.forget(part)
            raise

    def drop(self, path: Path) -> None:
        """Remove a file that was sent and is of no more use there."""
        self.forget(self._stored(path))

    def forget_old_files(self) -> None:
        """Remove files of a week ago and older that no release holds."""
        home = shlex.quote(self.home)
        find = f"find files -maxdepth 1 -type f -mtime +{STALE_DAYS}"
        old = self.sh(f"cd {home} 2>/dev/null && {find} 2>/dev/null || true").split()
        if not old:
            return
        # Not by the number of links: a phone has none, there releases hold copies.
        text = self.sh(f"cd {home} && cat models/*/releases/*/SHA256SUMS 2>/dev/null || true")
        held = {line.split()[0] for line in text.splitlines() if line.strip()}
        gone = [path for path in old if path.rpartition("/")[2] not in held]
        if gone:
            self.sh(f"cd {home} && rm -f {' '.join(map(shlex.quote, gone))}")

    def missing(self, paths: list[Path]) -> list[Path]:
        """Those of some files that are not on the device yet."""
        known = set(self.sh(f"ls {shlex.quote(f'{self.home}/files')} 2>/dev/null || true").split())
        return [path for path in paths if sha256_of(path) not in known]

    def machine(self) -> str:
        """The architecture that the Python there runs on, which on a 64-bit kernel may be of 32.

        Raises:
            DeviceError: there is no such Python.
        """
        ask = "import platform, struct; print(platform.machine(), struct.calcsize('P'))"
        done = self.transport.run(f"{self.python} -c {shlex.quote(ask)}")
        if done.code:
            raise DeviceError(
                f"{self.name}: {self.python} does not run: {done.err.strip()[-200:]}",
                hint=self.transport.without_python.format(name=self.name),
                fault=Fault.MISSING_RUNTIME,
            )
        machine, _, bytes_of_a_pointer = done.out.strip().partition(" ")
        return ON_32_BITS.get(machine, machine) if bytes_of_a_pointer == "4" else machine

    def need(self, size: int, what: str) -> None:
        """Refuse what cannot fit.

        Raises:
            DeviceError: with both sizes.
        """
        free = free_bytes(self.sh(f"df -Pk {shlex.quote(self.home)}"))
        if free is None:
            return  # it does not tell; a push that fails will
        if free < size + SPARE:
            raise DeviceError(
                f"{self.name}: {what} needs {size / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free "
                f"in {self.home} (of which {SPARE / 1e6:.0f} MB stay free)",
                hint="free some space there, or name another folder with `home` in the inventory",
                fault=Fault.FULL,
            )

    def place(self, files: dict[str, Path], folder: str) -> None:
        """Have a folder on the device that holds these files, by their names there.

        Raises:
            DeviceError: as `ensure`.
        """
        missing = self.missing(list(files.values()))
        if missing:
            self.need(sum(path.stat().st_size for path in missing), f"{len(missing)} files")
        for path in missing:
            self._send(path)
        where = shlex.quote(folder)
        commands = [f"rm -rf {where}", f"mkdir -p {where}", f"cd {where}"]
        for name, path in files.items():
            source, link = shlex.quote(self._stored(path)), shlex.quote(name)
            # Android's /data/local/tmp takes no hard links.
            commands.append(f"{{ ln {source} {link} 2>/dev/null || cp {source} {link}; }}")
        self.sh(" && ".join(commands), timeout=300)

    def run_agent(self, folder: str, job: str, progress: Progress) -> AgentResult:
        """Run the agent that lies in a folder on a job that lies beside it.

        Raises:
            DeviceError: with what the agent said last, and whether the device restarted meanwhile.
        """

        def on_line(line: str) -> None:
            message = message_of(line)
            if message:
                progress(message["done"], message["total"], f"{self.name}: {message['stage']}")

        def on_message(message: str) -> None:
            progress(0, 1, message)

        where = shlex.quote(folder)
        command = f"cd {where} && {self.python} agent.py {job} result.json"
        try:
            done = self.transport.run(command, timeout=None, on_line=on_line)
        except DeviceError as error:
            raise self._restarted(on_message) or error from None
        if done.code:
            output = EdgekitError((done.out + done.err).strip())
            raise self._restarted(on_message) or crash(self.name, done.code, done.err) from output
        with tempfile.TemporaryDirectory(prefix="edgekit-") as here:
            result = Path(here) / "result.json"
            self.transport.pull(f"{folder}/result.json", result)
            return read_result(self.name, result.read_text(errors="replace"))

    @contextmanager
    def work(self, files: dict[str, Path]) -> Iterator[str]:
        """A folder with files that is gone afterwards."""
        works = f"{self.home}/work"
        folder = f"{works}/{uuid.uuid4().hex[:12]}"
        # What is left of a run whose connection broke.
        left = f"find {shlex.quote(works)} -mindepth 1 -maxdepth 1 {OLD} -exec rm -rf {{}} +"
        self.transport.run(f"{left} 2>/dev/null")
        self.forget_old_files()
        try:
            self.place(files, folder)
            yield folder
        finally:
            self.forget(folder)

    def reach_again(self, on_message: Listener) -> str | None:
        """Open a way that broke anew, and wait for a device that restarts.

        Returns:
            its boot id; None where it does not come back.
        """
        until, announced = time.monotonic() + RETURN_SECONDS, False
        while True:
            try:
                self.transport.close()
                self.transport.open()
                return self._boot()
            except DeviceError:
                if time.monotonic() > until:
                    return None
            if not announced:
                on_message(f"{self.name}: it is silent; waiting {RETURN_SECONDS:.0f} s for it")
                announced = True
            time.sleep(RETURN_PAUSE)

    def _restarted(self, on_message: Listener) -> DeviceError | None:
        """Whether the device is another boot now than when it was opened."""
        now = self.reach_again(on_message)
        if now is None:
            return None
        if now == self.boot:
            return None
        return DeviceError(
            f"{self.name} restarted during the run",
            hint="a weak power supply or too much heat does that; no figure of the run is kept",
            fault=Fault.REBOOTED,
        )

    def _home(self) -> str:
        home = self.transport.home
        if home.startswith("~/"):
            home = self.sh('printf %s "$HOME"') + home[1:]
        self.sh(f"mkdir -p {shlex.quote(home)}")
        return home

    def _boot(self) -> str:
        # Android may hide the kernel's; when its init began (ns) is no other boot's either.
        command = "cat /proc/sys/kernel/random/boot_id 2>/dev/null || getprop ro.boottime.init"
        return self.transport.run(command).out.strip()

    def forget(self, path: str) -> None:
        """Remove what is of no more use; where the way is broken, the next run does it."""
        try:
            self.transport.run(f"rm -rf {shlex.quote(path)}")
        except DeviceError:
            return


SPARE = 20_000_000
"""Bytes that stay free on a device: logs and a swap file want some."""


def free_bytes(text: str) -> int | None:
    """Of `df -Pk`: read from the right, since names of drives may have spaces."""
    found = re.findall(r"\s(\d+)\s+(?:\d+%|-)\s+/", text)
    return 1024 * int(found[-1]) if found else None


def check_machine(
    device: Device, wanted: str | None, target: str | None, runner: Runner = "python"
) -> None:
    """
    Args:
        wanted: the target's architecture; None where it is not known.

    Raises:
        DeviceError: what will run the model there is of another architecture than the target.
    """
    found = device.machine() if runner == "python" else device.sh("uname -m").strip()
    if wanted and found != wanted:
        raise DeviceError(
            f"{device.name} is {found}, and {target} is {wanted}",
            hint="choose the target that the device is: `edgekit device check "
            f"{device.name}` says what that is",
            fault=Fault.WRONG_ARCHITECTURE,
        )
