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
    count = canary.count if canary and not work.dry_run else len(devices)
    first = dict(list(devices.items())[:count])
    others = {name: way for name, way in devices.items() if name not in first}
    done = on_each(first, work.to, work.release)
    if canary and others and not _failed(done):
        done = _watched(first, done, work, canary)
    for one in done:
        on_result(one)
    if _failed(done):
        why = f"not begun: {', '.join(r.device for r in done if r.error)} went first and failed"
        rest = [DeployResult(name, DeployState.SKIPPED, work.release, note=why) for name in others]
        for one in rest:
            on_result(one)
        return [*done, *rest]
    return [*done, *on_each(others, work.to, work.release, on_result)]


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
