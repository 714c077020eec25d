"""The golden images of a release, run on a device: it must give the scores it gave at home."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.devices.agent_answer import Job, JobModel
from edgekit.devices.agent_result import Golden
from edgekit.devices.bench.validity import golden_complaint
from edgekit.devices.bundle.bundle import RESULT, SMOKE
from edgekit.devices.bundle.reference import MODEL
from edgekit.devices.device import Device
from edgekit.errors import DeviceError, Fault

GoldenRunner = Callable[[Device, str], Golden]
"""Runs the golden images of a release, given the folder it lies in."""
GOLDEN_JOB = Job(models=(JobModel(id=MODEL),), golden={})
"""What stands in smoke.json, as far as its result is held against it."""


def prove(device: Device, golden: Golden, precision: str) -> float:
    """
    Returns:
        the largest difference from the golden scores.

    Raises:
        DeviceError: it is too large.
    """
    wrong = golden_complaint(golden, precision)
    if wrong:
        raise DeviceError(
            f"{device.name}: {wrong}",
            hint="the runtime there computes something else: `edgekit bench` shows how far it "
            "is off; `edgekit device setup` installs the versions the build used",
            fault=Fault.WRONG_RESULT,
        )
    return golden.max_abs_diff


def by_agent(device: Device, folder: str) -> Golden:
    """The agent on the device runs the golden images."""
    golden = device.run_agent(folder, SMOKE, lambda *_: None, GOLDEN_JOB).golden
    device.forget(f"{folder}/{RESULT}")
    assert golden is not None  # the job asks for it
    return golden
