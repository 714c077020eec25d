"""Emulated devices for tests: skipped where a program is missing, built once a machine."""

import pytest

from edgekit.errors import DeviceError
from edgekit.transports.emulated import Emulated
from edgekit.transports.emulation.cpus import CpuName
from edgekit.transports.emulation.tree import need_programs


def emulated(cpu: CpuName) -> Emulated:
    """An emulated device whose tree is built."""
    try:
        need_programs()
    except DeviceError as error:
        pytest.skip(f"{error.message}; {error.hint}")
    device = Emulated(cpu=cpu)
    device.prepare(print)
    return device
