"""Latencies of a build's files on its target's core, from the instructions that they execute."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.cycle_model.counting import trees
from edgekit.cycle_model.estimated_core import EstimatedCore
from edgekit.cycle_model.file_estimate import CycleEstimate, estimate_file
from edgekit.cycle_model.tools import find_tools
from edgekit.devices.estimate.modelled_target import core_of
from edgekit.engine.artifact import Artifact
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.evaluation.measure import HERE
from edgekit.evaluation.timing import Machine
from edgekit.runtimes import find_runtimes
from edgekit.spec.target import Target
from edgekit.stages.base import Stage
from edgekit.transports.base import Listener, ignore
from edgekit.transports.emulation.cpus import CPUS, CpuName
from edgekit.transports.emulation.tree import build_tree, tree_path


def need_counting(core: CpuName, target: Target, fetching: Listener | None = None) -> None:
    """
    Args:
        fetching: told as arm64 runtimes are fetched that are not here yet; a build does not fetch
            them.

    Raises:
        DeviceError: something is missing.
    """
    find_tools()
    if fetching:
        build_tree(core, trees(), fetching)
    elif not tree_path(core, trees()).exists():
        raise DeviceError(
            f"no arm64 runtimes for a {core} are here yet",
            hint=f"edgekit estimate MODEL --target {target.name} fetches them, once",
            fault=Fault.MISSING_PROGRAM,
        )


def machine_of(stage: Stage, targets: Sequence[Target], machine: Machine, store: Store) -> Machine:
    """What a stage times on.

    Args:
        targets: that it works for.
        machine: where it does not ask for estimates, or a device stands for the target.

    Raises:
        InputError: nothing models the targets' core, or they have different ones.
        DeviceError: something is missing that a build does not fetch.
    """
    if not stage.estimates or machine != HERE:
        return machine
    named = ", ".join(f"{target.name}: {target.cpu}" for target in targets)
    core, *others = dict.fromkeys(core_of(target) for target in targets)
    if core is None or others:
        raise InputError(
            f"{stage.stage}.on: `target` asks for estimates on one core that is modelled ({named})",
            hint=f"build for one of {', '.join(CPUS)} at a time, or leave `on: target` out",
        )
    need_counting(core, targets[0])
    return EstimatedCore(core, store)


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
