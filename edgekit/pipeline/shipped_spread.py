"""How far the devices that shared a build's measuring differ, on what it shipped."""

from __future__ import annotations

from edgekit.devices.bench.team_spread import SpreadOfTeam, spread_of
from edgekit.devices.bench.timing_team import TimingTeam
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Observer
from edgekit.engine.store import Store
from edgekit.errors import DeviceError
from edgekit.evaluation.device_spread import DeviceSpread
from edgekit.pipeline.draft import images
from edgekit.pipeline.run import Build, TargetResult


def device_spread(
    target: TargetResult, build: Build, store: Store, observer: Observer
) -> DeviceSpread | None:
    """Of the variant to take; None where one device measured, or nothing shipped."""
    team, shipped = target.plan.board, target.shipped
    if target.faults or not shipped or not isinstance(team, TimingTeam) or not team.is_timed:
        return None
    name = target.choice.chosen if target.choice else ""
    name = name if name in shipped else next(iter(shipped))
    found = shipped[name]
    judged = build.artifacts[images(build.plan.recipe.data.evaluate_on)]
    action = SpreadOfTeam(found.row.runtime, team, target.plan.target.device)
    try:
        with Executor(store, observer) as executor:
            return spread_of(name, action, {"model": found.artifact, "images": judged}, executor)
    except DeviceError as error:
        observer.remark(error.message)
        return None
