"""Several devices of one kind share the measuring."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.api.arguments import (
    PathLike,
    Triple,
    bundle_options,
    names_of,
    path_of,
    remark_unprevented,
    store_of,
    transports_of,
)
from edgekit.engine.observer import Observer, Silent
from edgekit.errors import InputError, need_folder, storage_errors
from edgekit.packages import told

if TYPE_CHECKING:
    from edgekit.devices.bench.fleet_report import FleetReport


def bench_fleet(
    artifacts: PathLike | Sequence[PathLike],
    devices: str | Sequence[str] = (),
    *,
    groups: str | Sequence[str] = (),
    images: PathLike | None = None,
    mean: Triple | None = None,
    std: Triple | None = None,
    labels: PathLike | None = None,
    threads: int | None = None,
    strict: bool = False,
    sustained: float = 0.0,
    out: PathLike | None = None,
    store: PathLike | None = None,
    observer: Observer | None = None,
) -> FleetReport:
    """Measure models on several devices of one kind: the first on all of them, which tells how far
    they differ, and each of the others on whichever is free.

    Args:
        devices, groups: names in the inventory.
        out: where the reports go; build/devices/fleet unless named. The others are those of
            `bench`.

    Returns:
        every measurement, and the devices that were set aside: see `FleetReport.check`.

    Raises:
        InputError: an artifact or a device is none, or two artifacts have the same name.
    """
    from edgekit import __version__
    from edgekit.api.on_devices import keep_report
    from edgekit.devices.bench.bench import bench as measure
    from edgekit.devices.bench.fleet import share
    from edgekit.devices.bench.fleet_report import FleetReport, FleetRun
    from edgekit.devices.bench.report import DeviceReport
    from edgekit.devices.bundle.bundle import Bundle
    from edgekit.devices.bundle.make import bundle_of
    from edgekit.devices.device import Device
    from edgekit.evaluation.device_spread import DeviceSpread
    from edgekit.report.fleet import write_fleet_report

    watching, folder = observer or Silent(), path_of(out) or Path("build/devices/fleet")
    need_folder(folder, "--out")
    with told(), ExitStack() as stack:
        ways = transports_of(names_of(devices), names_of(groups))
        remark_unprevented(watching)
        options = bundle_options(images, mean, std, labels, threads, strict, sustained)
        cache = store_of(store)
        paths = [Path(artifact) for artifact in names_of(artifacts)]
        made = [stack.enter_context(bundle_of(path, cache, options)) for path in paths]
        names = _names(paths)

        def measured(bundle: Bundle, device: str) -> DeviceReport:
            with Device(device, ways[device]) as opened:
                return measure(bundle, opened, lambda done, total, note: None)

        found = share(made, [*ways], measured, watching.remark)
        medians = {device: one.median for device, one in found.yardstick.items()}
        report = FleetReport(
            edgekit=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            devices=[*ways],
            spread=DeviceSpread.of(names[0], medians),
            set_aside=found.set_aside,
            failed={names[place]: why for place, why in found.failed.items()},
        )
        reports = [(names[0], one) for one in found.yardstick.values()]
        reports += [(names[place], one) for place, one in sorted(found.others.items())]
        for name, one in reports:
            kept = keep_report(one, folder / name / one.device.name, cache.root, watching)
            run = FleetRun(
                artifact=name,
                device=one.device.name,
                median=one.median,
                validity=one.validity,
                report=str(kept.page.with_suffix(".json")),
            )
            report.runs.append(run)
        with storage_errors(folder, "--out"):
            write_fleet_report(report, folder)
        return report


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each artifact: as much of its path as tells it from the others.

    Raises:
        InputError: one is named twice.
    """
    whole = [path.absolute().parts for path in paths]
    if len(set(whole)) < len(whole):
        raise InputError("an artifact is named twice")
    for length in range(1, max(map(len, whole)) + 1):
        found = ["-".join(parts[-length:]).strip("/") for parts in whole]
        if len(set(found)) == len(found):
            return found
    raise InputError("two artifacts have the same name")
