"""A device for tests: a folder of this machine, and faults on demand.

    device = Fake(root=str(tmp_path), cut_push_after=1000)
    with device, pytest.raises(DeviceError):  # CONNECTION_LOST, after 1000 bytes
        device.push(model, f"{tmp_path}/model.tflite")

Commands run in this machine's shell with the folder as $HOME. A fault that breaks the connection
or the data happens once: the next try, after `open`, finds a sound device.
"""

from __future__ import annotations

import math
import time
import uuid
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, PrivateAttr

from edgekit.errors import DeviceError, Fault
from edgekit.evidence import Evidence
from edgekit.transports._here import Here
from edgekit.transports.base import DISK_FULL, Completed, Listener


class Fake(Here):
    evidence: ClassVar[Evidence] = Evidence.HOST

    transport: Literal["fake"] = "fake"
    root: str
    """The folder that stands for the device; its home directory."""
    answers: dict[str, str | Completed] = Field(default={})
    """What a command says that contains the key, instead of running: its stdout, or all of it."""
    cut_push_after: int | None = None
    """Bytes of a push that arrive before the connection breaks."""
    cut_before: int | str | None = None
    """The command before which the connection breaks: its number, 1 is the first of all, or a part
    of it."""
    cut_after: int | str | None = None
    """The same, once the command has run: what it did is done, and its answer is lost."""
    reboot_before: int | str | None = None
    """The same for a restart: the connection breaks, the boot id changes."""
    capacity: int | None = None
    """Bytes that fit into the folder; what is pushed beyond them is cut off."""
    corrupt: bool = False
    """Whether the next push arrives with a wrong byte."""
    delay: float = Field(default=0.0, ge=0)
    """Seconds that each command takes longer."""

    commands: list[str] = Field(default=[], exclude=True)
    """All that was asked of it, in order."""
    _open: bool = PrivateAttr(default=False)
    _boot: str = PrivateAttr(default_factory=lambda: str(uuid.uuid4()))

    @property
    def address(self) -> str:
        return f"fake device {Path(self.root).name}"

    def variables(self) -> dict[str, str]:
        return {"HOME": self.root}

    def open(self) -> None:
        Path(self.root).mkdir(parents=True, exist_ok=True)
        self._open = True

    def close(self) -> None:
        self._open = False

    def reboot(self) -> None:
        """Break the connection; another boot answers the next one."""
        self._boot = str(uuid.uuid4())
        self._open = False

    def run(
        self, command: str, *, timeout: float | None = 60.0, on_line: Listener | None = None
    ) -> Completed:
        self.commands.append(command)
        if self._is_now(self.reboot_before):
            self.reboot_before = None
            self.reboot()
        if self._is_now(self.cut_before):
            self.cut_before = None
            self._open = False
        self._need_open()
        time.sleep(self.delay)
        done = self._answer(command, timeout, on_line)
        if self._is_now(self.cut_after):
            self.cut_after = None
            self._open = False
            self._need_open()
        return done

    def _answer(self, command: str, timeout: float | None, on_line: Listener | None) -> Completed:
        known = {"/proc/sys/kernel/random/boot_id": self._boot, **self.answers}
        answer = next((known[part] for part in known if part in command), None)
        if answer is None:
            return super().run(command, timeout=timeout, on_line=on_line)
        done = Completed(0, answer, "") if isinstance(answer, str) else answer
        if on_line:
            for line in done.out.splitlines():
                on_line(line)
        return done

    def push(self, source: Path, destination: str) -> None:
        self._need_open()
        data = source.read_bytes()
        if self.corrupt and data:
            self.corrupt = False
            data = bytes([data[0] ^ 1]) + data[1:]
        free = self._free(destination)
        cut = self.cut_push_after
        if cut is not None and cut < min(len(data), free):
            self.cut_push_after = None
            self._open = False
            self._write(data[:cut], destination)
            raise self._lost()
        fitting = len(data) if free >= len(data) else int(free)
        self._write(data[:fitting], destination)
        if fitting < len(data):
            raise DeviceError(f"{self.address}: {destination}: {DISK_FULL}", fault=Fault.FULL)

    def pull(self, source: str, destination: Path) -> None:
        self._need_open()
        super().pull(source, destination)

    def _is_now(self, when: int | str | None) -> bool:
        last = self.commands[-1]
        return when in last if isinstance(when, str) else when == len(self.commands)

    def _free(self, destination: str) -> float:
        """Bytes for a file that is written anew."""
        if self.capacity is None:
            return math.inf
        files = [p for p in Path(self.root).rglob("*") if p.is_file() and str(p) != destination]
        return max(0, self.capacity - sum(path.stat().st_size for path in files))

    def _write(self, data: bytes, destination: str) -> None:
        try:
            Path(destination).write_bytes(data)
        except OSError as error:
            raise DeviceError(f"{self.address}: {destination}: {error.strerror}") from error

    def _need_open(self) -> None:
        if not self._open:
            raise self._lost()

    def _lost(self) -> DeviceError:
        return DeviceError(
            f"{self.address}: the connection broke",
            hint="what was done is kept; run the command again",
            fault=Fault.CONNECTION_LOST,
        )
