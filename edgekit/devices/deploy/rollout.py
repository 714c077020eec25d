"""Many devices: a few first, and the others once those did well for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgekit.devices.deploy.deploy import Deployment, on_each
from edgekit.devices.deploy.result import DeployResult, DeployState
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
    """Deploy to all devices at once, or to the first few before the others.

    Args:
        on_result: called with what came of each, as it is known.
    """
    if canary is None or work.dry_run or len(devices) <= canary.count:
        return on_each(devices, work.to, work.release, on_result)
    names = list(devices)
    first, others = names[: canary.count], names[canary.count :]
    done = on_each({name: devices[name] for name in first}, work.to, work.release)
    if not _failed(done):
        done = _watched(devices, done, work, canary)
    for one in done:
        on_result(one)
    if not _failed(done):
        rest = on_each({name: devices[name] for name in others}, work.to, work.release, on_result)
        return [*done, *rest]
    rest = _skipped(others, done, work.release)
    for one in rest:
        on_result(one)
    return [*done, *rest]


def _skipped(names: list[str], done: list[DeployResult], release: str) -> list[DeployResult]:
    failed = ", ".join(result.device for result in done if result.error)
    why = f"not begun: {failed} went first and failed"
    return [DeployResult(name, DeployState.SKIPPED, release, note=why) for name in names]


def _watched(
    devices: dict[str, Transport], done: list[DeployResult], work: Deployment, canary: Canary
) -> list[DeployResult]:
    """Wait, and look at those again whose model is a new one."""
    new = {r.device: devices[r.device] for r in done if r.state is DeployState.DEPLOYED}
    if not new or not canary.seconds:
        return done
    work.on_message(f"waiting {canary.seconds:g} s for {', '.join(new)}")
    time.sleep(canary.seconds)
    fallen = {r.device: r for r in on_each(new, work.look_again, work.release) if r.error}
    return [fallen.get(result.device, result) for result in done]


def _failed(results: list[DeployResult]) -> bool:
    return any(result.error for result in results)
