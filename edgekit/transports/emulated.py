"""An Arm CPU emulated on this machine: what models compute on it, never how fast.

qemu-user runs the real aarch64 wheels with the instruction set of one CPU. Commands run in this
machine's shell with a home of their own; `python3`, `uname` and `cat` on their PATH are Arm's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Literal

from edgekit.engine.store import default_store
from edgekit.errors import DeviceError, Fault
from edgekit.evidence import Evidence
from edgekit.transports._here import Here
from edgekit.transports.base import Listener
from edgekit.transports.emulation.cpus import CpuName
from edgekit.transports.emulation.tree import build_tree, need_programs, tree_path


class Emulated(Here):
    evidence: ClassVar[Evidence] = Evidence.EMULATED

    transport: Literal["emulated"] = "emulated"
    cpu: CpuName

    @property
    def address(self) -> str:
        return f"emulated {self.cpu.title()}"

    @property
    def root(self) -> Path:
        """The trees and homes of all emulated devices."""
        return default_store().absolute() / "emulated"

    def prepare(self, on_message: Listener) -> None:
        """Build the arm64 tree where it is missing; a minute and a network, once."""
        build_tree(self.cpu, self.root, on_message)

    def open(self) -> None:
        need_programs()
        if not tree_path(self.cpu, self.root).exists():
            raise DeviceError(
                f"{self.address}: its arm64 tree is not built for the runtimes installed here",
                hint=f"edgekit device add NAME --emulated {self.cpu} builds it",
                fault=Fault.UNREACHABLE,
            )
        self._home.mkdir(parents=True, exist_ok=True)

    def variables(self) -> dict[str, str]:
        commands = tree_path(self.cpu, self.root) / "commands"
        return {"HOME": str(self._home), "PATH": f"{commands}:{os.environ.get('PATH', os.defpath)}"}

    @property
    def _home(self) -> Path:
        return self.root / f"home-{self.cpu}"
