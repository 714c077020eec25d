"""Several devices of one kind share the measuring of models, one measurement at a time each.

The first model is measured on every device: that tells how far devices of one kind differ. The
others go to whichever is free, by the scheduler that runs builds. A device that vanishes, or whose
run is no result, is set aside, and what it was at goes to another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeVar

from edgekit.devices.bench.report import DeviceReport
from edgekit.errors import OF_THE_FILE, DeviceError
from edgekit.scheduling.core import Scheduler
from edgekit.scheduling.state import StepTask
from edgekit.transports.base import Listener

KIND = "device"

Subject = TypeVar("Subject")
Measure = Callable[[Subject, str], DeviceReport]
"""Measures a model on the device of that name."""


@dataclass
class Shared:
    """What came of it."""

    yardstick: dict[str, DeviceReport] = field(default_factory=dict)
    """Of the first model, by device."""
    others: dict[int, DeviceReport] = field(default_factory=dict)
    """Of the other models, by their places."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """Devices, each with the reason."""
    failed: dict[int, str] = field(default_factory=dict)
    """Models that could not be measured, by their places, each with the reason."""


def share(
    subjects: Sequence[Subject],
    devices: Sequence[str],
    measure: Measure[Subject],
    on_message: Listener,
) -> Shared:
    """Measure the first on every device, and each of the others on one.

    Args:
        measure: called by several threads, by one at a time for each device.
        on_message: told of each device that is set aside.

    Raises:
        EdgekitError: it is neither a device's fault nor that of a model.
    """
    found = Shared()
    with ThreadPoolExecutor(len(devices)) as pool:
        first = {name: pool.submit(_measured, measure, subjects[0], name) for name in devices}
        for name, future in first.items():
            match future.result():
                case DeviceReport() as report:
                    found.yardstick[name] = report
                case (of_the_file, why):
                    found.set_aside[name] = why
                    on_message(f"{name} is set aside: {why}")
                    if of_the_file:
                        found.failed.setdefault(0, f"on {name}: {why}")
        if not found.yardstick:
            reasons = "; ".join(f"{name}: {why}" for name, why in found.set_aside.items())
            found.failed[0] = f"no device has measured it: {reasons}"
        _Queue(subjects, measure, found, pool, on_message).run()
    return found


Outcome = DeviceReport | tuple[bool, str]
"""A report, or whether the file is to blame, and why there is none."""


def _measured(measure: Measure[Subject], subject: Subject, device: str) -> Outcome:
    try:
        report = measure(subject, device)
    except DeviceError as error:
        return error.fault in OF_THE_FILE, error.message
    return (False, report.invalid()) if report.invalid() else report


class _Queue:
    """The models after the first, and the devices that are well."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        measure: Measure[Subject],
        found: Shared,
        pool: ThreadPoolExecutor,
        on_message: Listener,
    ) -> None:
        self._found, self._say, self._core = found, on_message, Scheduler()
        self._begin: Callable[[int, str], Future[Outcome]] = lambda place, device: pool.submit(
            _measured, measure, subjects[place], device
        )
        self._left = set(range(1, len(subjects)))
        for place in sorted(self._left):
            self._core.add(StepTask(key=str(place), device=KIND))
        for device in found.yardstick:
            self._core.join(f"for {device}", "here")
            self._core.device_joined(device, KIND)

    def run(self) -> None:
        at: dict[Future[Outcome], tuple[int, str]] = {}
        while self._left:
            for start in self._core.decide():
                place = int(start.key)
                at[self._begin(place, start.device)] = place, start.device
            if not at:
                break
            for future in wait(at, return_when=FIRST_COMPLETED).done:
                self._take(*at.pop(future), future.result())
        for place in self._left:
            self._found.failed[place] = "no device was left to measure it"

    def _take(self, place: int, device: str, outcome: Outcome) -> None:
        if isinstance(outcome, DeviceReport):
            self._found.others[place] = outcome
        else:
            of_the_file, why = outcome
            if not of_the_file:
                self._found.set_aside[device] = why
                self._say(f"{device} is set aside: {why}; another device measures it")
                self._core.device_lost(device)
                return
            self._found.failed[place] = f"on {device}: {why}"
        self._left.discard(place)
        self._core.done(str(place))
