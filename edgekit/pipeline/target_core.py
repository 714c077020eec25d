"""Latencies of a build's files on its target's core, from the instructions that they execute."""

from __future__ import annotations

import shutil

from edgekit.cycle_model.counting import trees
from edgekit.cycle_model.file_estimate import RUNTIMES, CycleEstimate, estimate_file
from edgekit.cycle_model.tools import find_tools
from edgekit.devices.estimate.modelled_target import core_of
from edgekit.engine.action import library_versions
from edgekit.engine.artifact import Artifact
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.spec.target import Target
from edgekit.transports.base import Listener, ignore
from edgekit.transports.emulation.cpus import CpuName
from edgekit.transports.emulation.imports import import_fault
from edgekit.transports.emulation.tree import QEMU, tree_path


def need_counting(core: CpuName, target: Target) -> None:
    """
    Raises:
        DeviceError: something is missing that a build does not fetch.
    """
    find_tools()
    if not tree_path(core, trees()).exists():
        raise DeviceError(
            f"no arm64 runtimes for a {core} are here yet",
            hint=f"edgekit estimate MODEL --target {target.name} fetches them, once",
            fault=Fault.MISSING_PROGRAM,
        )


def refuse_dying(runtime: Runtime, target: Target) -> None:
    """A wheel that dies as it is imported on the target's core; tried only where the core's tree is
    there, and once for a version.

    Raises:
        InputError: it does.
    """
    core = core_of(target)
    if core is None or runtime.name not in RUNTIMES or not tree_path(core, trees()).exists():
        return
    if shutil.which(QEMU) is None:
        return
    fault = import_fault(core, runtime.engine_modules[runtime.engine], trees())
    if fault:
        installed = library_versions((runtime.engine,))[runtime.engine]
        raise InputError(
            f"{runtime.engine} {installed} ends in {fault} as it is imported on a {core.title()}, "
            f"the processor of {target.name}",
            hint=f"install another version of {runtime.engine}, here and on the device",
        )


def estimate_artifact(
    artifact: Artifact, runtime: str, core: CpuName, store: Store, on_message: Listener = ignore
) -> CycleEstimate:
    """
    Raises:
        DeviceError: it could not be run.
        IntegrityError: a stored file is not what was stored.
    """
    reader = find_runtimes()[runtime]()
    artifact.verify()  # cached, it was not read in this build yet
    file = artifact.file(reader.file)
    return estimate_file(reader, file, reader.describe(file).input, core, store, on_message)
