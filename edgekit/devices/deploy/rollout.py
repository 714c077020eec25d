"""Many devices: a few first, and the others once those did well for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edgekit.devices.deploy.deploy import Deployment, on_each
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.shell import interruption
from edgekit.errors import DeviceError
from edgekit.transports.base import Transport


@dataclass(frozen=True)
class Canary:
    """How many devices go first, and how long they are waited for."""

    count: int
    seconds: float = 0.0


def roll_out(
    devices: dict[str, Transport],
    work: Deployment,
    canary: Canary | None = None,
    on_result: Callable[[DeployResult], None] = lambda _: None,
) -> list[DeployResult]:
    """Deploy to all devices at once, or to the first few before the others. After Ctrl-C no further
    device is begun; those that were not are interrupted (exit code 130).

    Args:
        on_result: called with what came of each, as it is known.
    """
    if canary is None or work.dry_run:
        return on_each(devices, work.to, work.release, on_result)
    stop, names = threading.Event(), list(devices)
    first, others = names[: canary.count], names[canary.count :]
    going_first = {name: devices[name] for name in first}
    done = on_each(going_first, work.to, work.release, interrupted=stop)
    if canary.seconds and _goes_on(done, stop):
        done = _watched(going_first, done, work, canary, stop)
    for one in done:
        on_result(one)
    if _goes_on(done, stop):
        rest = {name: devices[name] for name in others}
        return [*done, *on_each(rest, work.to, work.release, on_result, stop)]
    skipped = [_skipped(name, done, work, stop) for name in others]
    for one in skipped:
        on_result(one)
    return [*done, *skipped]


def _goes_on(done: list[DeployResult], stop: threading.Event) -> bool:
    return not (stop.is_set() or any(result.error for result in done))


def _skipped(
    name: str, done: list[DeployResult], work: Deployment, stop: threading.Event
) -> DeployResult:
    result = DeployResult(name, DeployState.SKIPPED, work.release)
    if stop.is_set():
        return replace(result, error=_interruption(name, "not begun"))
    failed = ", ".join(one.device for one in done if one.error)
    return replace(result, note=f"not begun: {failed} went first and failed")


def _interruption(name: str, what: str) -> DeviceError:
    return interruption(f"{name}: {what}: interrupted")


def _watched(
    devices: dict[str, Transport],
    done: list[DeployResult],
    work: Deployment,
    canary: Canary,
    stop: threading.Event,
) -> list[DeployResult]:
    """Wait, and look at each again: one that had the release before may have it since minutes."""
    work.on_message(f"waiting {canary.seconds:g} s for {', '.join(devices)}")
    try:
        time.sleep(canary.seconds)
    except KeyboardInterrupt:
        stop.set()
        return [
            replace(one, error=_interruption(one.device, "not looked at again")) for one in done
        ]
    again = on_each(devices, work.look_again, work.release, interrupted=stop)
    fallen = {result.device: result for result in again if result.error}
    return [fallen.get(result.device, result) for result in done]
