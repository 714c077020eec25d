"""Which processors add two products of int8 in 16 bits, where a sum of 8-bit codes may saturate."""

from __future__ import annotations

HAVE_EXACT_SUMS = ("arm", "vnni", "amx")
"""Parts of an instruction set's name."""


def sums_saturate(device: str, isa: str | None) -> bool:
    """Whether a target may have such a processor: an x86 that is not known to have VNNI or AMX.

    >>> sums_saturate("CPU", "x86-64"), sums_saturate("CPU", "armv8-a"), sums_saturate("NPU", None)
    (True, False, False)
    """
    named = any(part in (isa or "").lower() for part in HAVE_EXACT_SUMS)
    return device == "CPU" and not named
