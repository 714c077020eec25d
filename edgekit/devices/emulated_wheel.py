"""Whether a runtime's arm64 wheel runs on a core, tried in that core's emulated tree.

The tree has the wheels at the versions of this machine, which are those that a device is sent.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edgekit.agent import agent
from edgekit.devices.trial import FOLDER, SCRIPT, files_for
from edgekit.engine.action import library_versions
from edgekit.engine.store import default_store
from edgekit.engine.temporary import temporary_folder
from edgekit.errors import InputError
from edgekit.runtimes.base import Runtime
from edgekit.transports.base import Listener, ignore
from edgekit.transports.emulation.cpus import CPUS, CpuName
from edgekit.transports.emulation.imports import fault_of, import_fault
from edgekit.transports.emulation.tree import LIBRARIES, QEMU, tree_path


def core_named(cpu: str | None) -> CpuName | None:
    """The core that can be emulated, by the name that a target or a device gives it."""
    return next((core for core in CPUS if core == cpu), None)


def refuse_dying(
    runtime: Runtime, core: CpuName | None, where: str, on_untried: Listener = ignore
) -> None:
    """A wheel that ends as it is imported on a core, or as it runs a tiny model in float or int8.
    Tried where the core's tree is there, once for a version.

    Args:
        where: what has this core, as `a Cortex-A72, the processor of rpi4`.
        on_untried: told where it could not be tried, and why.

    Raises:
        InputError: it does.
    """
    if core is None or runtime.engine not in LIBRARIES:
        return
    root = default_store().absolute() / "emulated"
    installed = library_versions((runtime.engine,))[runtime.engine]
    if not tree_path(core, root).exists() or shutil.which(QEMU) is None:
        on_untried(
            f"{runtime.engine} {installed} was not tried on an emulated {core.title()}: `edgekit "
            f"device add NAME --emulated {core}` makes one"
        )
        return
    step = "is imported"
    fault = import_fault(core, runtime.engine_modules[runtime.engine], root)
    if not fault:
        step, fault = "runs a tiny model", _running_fault(core, runtime.name, root)
    if fault:
        raise InputError(
            f"{runtime.engine} {installed} ends in {fault} as it {step} on {where}",
            hint=f"install another version of {runtime.engine}, here and on the device",
        )


def _running_fault(core: CpuName, runtime: str, root: Path) -> str | None:
    files = files_for(runtime)
    with temporary_folder() as folder:
        for path in (Path(agent.__file__), *(FOLDER / name for name in files)):
            shutil.copy(path, folder)
        return fault_of(core, ["-c", SCRIPT, runtime, *files], root, folder)
