"""Devices that are on this machine: commands and copies need no connection."""

from __future__ import annotations

import errno
import shlex
import shutil
from pathlib import Path
from typing import ClassVar

from edgekit.engine.confined_program import limited
from edgekit.engine.confinement import confinement
from edgekit.errors import DeviceError, Fault
from edgekit.transports._process import run_process
from edgekit.transports.base import Completed, Listener, Transport


class Here(Transport):
    confines: ClassVar[bool] = True

    def variables(self) -> dict[str, str]:
        """Of the environment of each command, above this process's own."""
        return {}

    def run(
        self, command: str, *, timeout: float | None = 60.0, on_line: Listener | None = None
    ) -> Completed:
        pairs = [f"{name}={value}" for name, value in self.variables().items()]
        line = ["/usr/bin/env", *pairs, "/bin/sh", "-c", command]
        return run_process(line, self.address, timeout, on_line)

    def confined(self, command: str, folder: str) -> str:
        return f"{shlex.join(limited(folder, confinement(self.address).memory))} {command}"

    def push(self, source: Path, destination: str) -> None:
        self._copy(str(source), destination)

    def pull(self, source: str, destination: Path) -> None:
        self._copy(source, str(destination))

    def _copy(self, source: str, destination: str) -> None:
        try:
            shutil.copyfile(source, destination)
        except OSError as error:
            fault = Fault.FULL if error.errno == errno.ENOSPC else Fault.OTHER
            raise DeviceError(
                f"{self.address}: {error.filename}: {error.strerror}", fault=fault
            ) from error
