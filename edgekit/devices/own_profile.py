"""`rpi` means one thing: the Raspberry Pi 5, or the board that is named."""

from __future__ import annotations

from edgekit.agent.agent import ARM_CORES
from edgekit.spec.target import Target, load_target
from edgekit.transports.base import Listener

FAMILY = {"rpi": {"cortex-a53": "rpi3", "cortex-a72": "rpi4"}}
"""By a family's name and a board's core, that board's target where it is not the family's own."""
WITHOUT_DOT_PRODUCT = ("cortex-a53", "cortex-a72")


def own_profile(target: Target, device: str, part: str | None, on_message: Listener) -> Target:
    """The target that a device has in a family.

    Args:
        part: the number of the device's Arm core, as /proc/cpuinfo tells it.
        on_message: told where it is another than the family's own.
    """
    core = ARM_CORES.get(part or "", "")
    name = FAMILY.get(target.name, {}).get(core)
    if name is None:
        return target
    on_message(f"{target.name} means {name} here: {device} has a {core.title()}")
    return load_target(name)


def slow_in_int8(target: Target) -> str | None:
    """What is to be known of a target before anything is measured; None where there is nothing."""
    if target.cpu not in WITHOUT_DOT_PRODUCT or target.device != "CPU":
        return None
    return (
        f"{target.name}: a {target.cpu.title()} has no int8 dot product: int8 may gain little over "
        "float there, or lose to it; this machine's ratio says nothing of that"
    )
