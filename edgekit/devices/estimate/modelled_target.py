"""Which targets have a core whose time can be estimated from executed instructions."""

from __future__ import annotations

from edgekit.cycle_model.boards import need_modelled_core
from edgekit.errors import InputError
from edgekit.spec.target import Target, machine_of
from edgekit.transports.emulation.cpus import CpuName


def need_core(target: Target) -> CpuName:
    """
    Args:
        target: of a CPU.

    Raises:
        InputError: nothing models its core, or it runs 32-bit code.
    """
    core = need_modelled_core(target.cpu)
    if machine_of(target.isa) not in (None, "aarch64"):
        raise InputError(f"{target.name} runs 32-bit code, and only 64-bit code is counted")
    return core


def core_of(target: Target) -> CpuName | None:
    """The target's core; None where its time cannot be estimated."""
    try:
        return need_core(target) if target.device == "CPU" else None
    except InputError:
        return None
