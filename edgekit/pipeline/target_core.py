"""Latencies of a build's files on its target's core, from the instructions that they execute."""

from __future__ import annotations

from edgekit.cycle_model.counting import trees
from edgekit.cycle_model.file_estimate import CycleEstimate, estimate_file
from edgekit.cycle_model.tools import find_tools
from edgekit.engine.artifact import Artifact
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, Fault
from edgekit.runtimes import find_runtimes
from edgekit.spec.target import Target
from edgekit.transports.base import Listener, ignore
from edgekit.transports.emulation.cpus import CpuName
from edgekit.transports.emulation.tree import tree_path


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


def estimate_artifact(
    artifact: Artifact,
    runtime: str,
    core: CpuName,
    store: Store,
    on_message: Listener = ignore,
    operators: bool = False,
) -> CycleEstimate:
    """
    Args:
        operators: tell their shares too.

    Raises:
        DeviceError: it could not be run.
        IntegrityError: a stored file is not what was stored.
    """
    reader = find_runtimes()[runtime]()
    artifact.verify()  # cached, it was not read in this build yet
    file = artifact.file(reader.file)
    port = reader.describe(file).input
    return estimate_file(reader, file, port, core, store, on_message, operators)
