"""A sweep: ordinary builds over a grid of any fields, held against each other.

The store keeps what is finished: points share the steps that they begin with, and a sweep that was
stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgekit import __version__
from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.engine.atomic import write_atomically
from edgekit.engine.crew import Crew, in_order
from edgekit.engine.observer import Observer
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError, InputError, storage_errors
from edgekit.evaluation.device_spread import DeviceSpread
from edgekit.evidence import Evidence, Measurement
from edgekit.model_search.axes import MOST_POINTS, Axes, grid, point_label, size_of, vary_each
from edgekit.model_search.built import BuiltPoint, build_point
from edgekit.model_search.latencies import Stopwatch, stopwatch, time_file
from edgekit.model_search.points import PointRecord
from edgekit.notebook import HasPage
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target

FIRST = "the first point that passed"
OF_ITSELF = Measurement(
    value=1.0, unit="ratio", evidence=Evidence.HOST, method="what the others are held against"
)


class SweepReport(BaseModel, HasPage):
    """Every point of a grid, in its order."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    edgekit: str
    created: str
    recipe: str
    target: str
    axes: dict[str, list[Any]]
    """Values by the dotted paths of the fields that vary."""
    latency_is: str
    """What the latency of a point is."""
    why_no_ms: str = ""
    """Why it is not milliseconds; empty where it is."""
    images: int | None = None
    """On which accuracy was measured."""
    spread: DeviceSpread | None = None
    """Of the devices that shared the timing, on the first file."""
    points: list[PointRecord] = []
    open: int = 0
    """Points that are still to come."""

    def check(self) -> None:
        """
        Raises:
            EdgekitError: a point failed, with the exit code that its build would end with.
        """
        failed = [point for point in self.points if point.exit_code]
        if not failed:
            return
        first = failed[0]
        error = EdgekitError(
            f"{len(failed)} of {len(self.points)} points did not pass; the first is "
            f"{first.title}: {first.reason}",
            hint="the table and the page say why each did not; finished steps are kept",
        )
        error.exit_code = first.exit_code
        raise error


def points_of(
    axes: Axes, vary: Callable[[Mapping[str, Any]], Recipe]
) -> list[tuple[dict[str, Any], Recipe]]:
    """The recipes of a grid.

    Raises:
        InputError: it is empty or too large, or a field or a value is refused.
    """
    if not axes:
        raise InputError("nothing varies", hint="name a field: --over data.image_size=96,128,160")
    count = size_of(axes)
    if count > MOST_POINTS:
        raise InputError(f"{count:,} points, and {MOST_POINTS:,} are the most")
    found = [(settings, vary(settings)) for settings in grid(axes)]
    vary_each(axes, vary)
    return found


def run_sweep(
    axes: Axes,
    vary: Callable[[Mapping[str, Any]], Recipe],
    target: Target,
    store: Store,
    observer: Observer,
    board: TimingDevice | None,
    publish: Callable[[SweepReport], None],
    crew: Crew | None = None,
) -> SweepReport:
    """Build every point, publishing the report after each one.

    Args:
        vary: gives the recipe with other values.

    Raises:
        InputError: as `points_of`, before anything runs.
        EdgekitError: the machine failed, and not a point.
    """
    points = points_of(axes, vary)
    watch = stopwatch(target, board, FIRST, store, observer, crew=crew)
    report = SweepReport(
        edgekit=__version__,
        created="",
        recipe=points[0][1].name,
        target=target.name,
        axes={path: list(values) for path, values in axes.items()},
        latency_is=watch.words,
        why_no_ms=watch.why_no_ms,
        open=len(points),
    )

    def build(number: int) -> BuiltPoint:
        settings, recipe = points[number]
        label = point_label(settings, axes)
        observer.remark(f"{number + 1} of {len(points)}: {label}")
        found = build_point(settings, recipe, target, store, observer, board, crew=crew)
        found.record.label = label
        return found

    for found in in_order(crew, build, range(len(points))):
        _add_latency(found, watch)
        record = found.record
        report.images = report.images or (record.top1.samples if record.top1 else None)
        report.points.append(record)
        report.open -= 1
        report.spread = watch.spread
        report.created = datetime.now(UTC).isoformat(timespec="seconds")
        publish(report)
    return report


def _add_latency(found: BuiltPoint, watch: Stopwatch) -> None:
    """One that failed has none: it would be chosen for it."""
    record = found.record
    if not record.ships:
        record.no_latency = "it did not pass"
        return
    if watch.needs_reference and watch.reference is None:
        watch.reference = found.file
        record.latency = OF_ITSELF
        return
    time_file(watch, record, found.file)


def publish_sweep(report: SweepReport, folder: Path, page: Callable[[SweepReport], str]) -> None:
    """Write sweep.json and sweep.html, each whole or not at all."""
    with storage_errors(folder, "--out"):
        write_atomically(folder / "sweep.json", report.model_dump_json(indent=1))
        write_atomically(folder / "sweep.html", page(report))
