"""A device at work: the Python on it, and the agent that runs there.

<home>/files/<sha256>      what was pushed, checked there; never pushed twice
<home>/venv/               what `edgekit device setup` made
<home>/work/<run>/         one run of the agent; removed afterwards
<home>/models/<name>/      releases and `current` of a deployed model
<home>/.lock/              there while somebody works on the device
"""

from __future__ import annotations

import shlex
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from edgekit.devices.advice import ONLY_32_BITS_HINT, only_32_bits
from edgekit.devices.agent_answer import Job, crash, no_result
from edgekit.devices.agent_result import AgentResult
from edgekit.devices.files import KEPT_FILES, SYNC_SECONDS, DeviceFiles
from edgekit.devices.shell import DeviceShell
from edgekit.engine.action import Progress
from edgekit.engine.confinement import confinement
from edgekit.engine.records import BadRecord, parse_record
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import DeviceError, EdgekitError, Fault
from edgekit.evaluation.measure import message_of
from edgekit.transports.base import Listener, Transport

Runner = Literal["python", "shell"]
"""What runs a model on a device: Python, or a program in the device's shell, as on phones."""
ON_32_BITS = {"aarch64": "armv7l", "x86_64": "i686"}
"""What a Python of 32 bits on a kernel of 64 is, by what the kernel says."""


class Device(DeviceShell):
    """An open device: `with Device("pi5", transport) as device`.

    Args:
        interrupted: once it is set, no further command is begun.
    """

    def __init__(
        self, name: str, transport: Transport, interrupted: threading.Event | None = None
    ) -> None:
        super().__init__(name, transport, interrupted)
        self.files = DeviceFiles(self)

    @property
    def python(self) -> str:
        """The Python that runs the agent, quoted for the shell."""
        if self.transport.python:
            return shlex.quote(self.transport.python)
        own = shlex.quote(f"{self.home}/venv/bin/python")
        found = self.transport.run(f"test -x {own}")
        return own if found.code == 0 else "python3"

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

    @contextmanager
    def work(self, files: dict[str, Path]) -> Iterator[str]:
        """A folder with files that is gone afterwards."""
        folder = f"{self.home}/work/{uuid.uuid4().hex[:12]}"
        self.tidy()
        try:
            self.files.lay_out(files, folder)
            yield folder
        finally:
            self.forget(folder)

    def tidy(self, kept: int = KEPT_FILES) -> None:
        """Remove what broken connections left. Whoever calls it holds the device's lock, so that
        nobody works with it any more.

        Args:
            kept: files that no release holds, those used last.
        """
        # venv.old is what a setup puts back that was cut between its two renames.
        old = "{ test ! -e venv || rm -rf venv.old; }"
        # What a check made it removes itself, without the lock.
        left = "rm -rf work/* venv.new" + ("" if kept else " .trial-* .check-*")
        self.sh(f"cd {shlex.quote(self.home)} && {left} && {old}", timeout=SYNC_SECONDS)
        self.files.remove_stale(kept)

    def run_agent(self, folder: str, job: str, progress: Progress, asked: Job) -> AgentResult:
        """Run the agent that lies in a folder on a job that lies beside it.

        Args:
            job: the name of its file.
            asked: what stands in it.

        Raises:
            DeviceError: with what the agent said last, and whether the device restarted meanwhile.
        """

        def on_line(line: str) -> None:
            message = message_of(line)
            if message:
                progress(message.done, message.total, f"{self.name}: {message.stage}")

        on_message = messages_to(progress)
        where = shlex.quote(folder)
        command = f"{self.python} agent.py {job} result.json"
        limits = None
        # The driver of another device writes to files of its own.
        if self.transport.confines and all(model.device == "CPU" for model in asked.models):
            limits = confinement(f"{self.name}: the model")
            command = self.transport.confined(command, folder)
        try:
            done = self.transport.run(f"cd {where} && {command}", timeout=None, on_line=on_line)
        except DeviceError as error:
            raise self.restart_error(on_message) or error from None
        if done.code:
            failure = self.restart_error(on_message)
            failure = failure or crash(self.name, done.code, done.err, limits)
            raise failure from EdgekitError((done.out + done.err).strip())
        with temporary_folder() as here:
            result = here / "result.json"
            self.transport.pull(f"{folder}/result.json", result)
            try:
                found = parse_record(AgentResult, result.read_bytes())
                asked.check(found)
            except BadRecord as error:
                raise no_result(self.name, error) from error
        return found


def messages_to(progress: Progress) -> Listener:
    """A listener whose messages are shown where progress is."""
    return lambda message: progress(0, 1, message)


def check_machine(
    device: Device, expected: str | None, target: str | None, runner: Runner = "python"
) -> None:
    """
    Args:
        expected: the target's architecture; None where it is not known.

    Raises:
        DeviceError: what will run the model there is of another architecture than the target.
    """
    found = device.machine() if runner == "python" else device.sh("uname -m").strip()
    if expected and found != expected and found in ON_32_BITS.values():
        raise DeviceError(
            f"{device.name}: {only_32_bits(f'what runs there ({found})')}, and {target} is "
            f"{expected}",
            hint=ONLY_32_BITS_HINT,
            fault=Fault.WRONG_ARCHITECTURE,
        )
    if expected and found != expected:
        raise DeviceError(
            f"{device.name} is {found}, and {target} is {expected}",
            hint="choose the target that the device is: `edgekit device check "
            f"{device.name}` says what that is",
            fault=Fault.WRONG_ARCHITECTURE,
        )
