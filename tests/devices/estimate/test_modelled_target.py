"""Which targets have a core whose time can be estimated."""

from __future__ import annotations

import pytest

from edgekit.devices.estimate.modelled_target import core_of
from edgekit.spec.target import load_target


@pytest.mark.parametrize(
    ("name", "core"),
    [("rpi3", "cortex-a53"), ("rpi4", "cortex-a72"), ("rpi5", "cortex-a76"), ("rpi", "cortex-a76"),
     ("zero2w", None), ("x86-cpu", None), ("intel-npu", None)],
)  # fmt: skip
def test_whose_time_can_be_estimated(name: str, core: str | None) -> None:
    assert core_of(load_target(name)) == core
