"""This machine as a device: for a build machine that is itself the target, and for trying out."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Literal

from edgekit.errors import DeviceError, Fault
from edgekit.transports._process import run_process
from edgekit.transports.base import Completed, Said, Transport


class Local(Transport):
    transport: Literal["local"] = "local"

    @property
    def address(self) -> str:
        return "this machine"

    def run(
        self, command: str, *, timeout: float | None = 60.0, said: Said | None = None
    ) -> Completed:
        return run_process(["/bin/sh", "-c", command], self.address, timeout, said)

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
