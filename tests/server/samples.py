"""A folder of builds and runs as a server finds them, and its history."""

from __future__ import annotations

import json
from pathlib import Path

from edgekit.build_folder.reading import read_report
from edgekit.history.recording import record_builds
from edgekit.report.device import write_device_report
from edgekit.report.render import render_html
from tests.comparison.samples import device_report, write_build
from tests.devices.tiny import tiny_bundle
from tests.history.samples import COMMIT

NASTY = '<img src="x" onerror="alert(1)">'


def write_all(root: Path) -> Path:
    """build/ with two builds of photos, of which that for x86-cpu is worse, one with a nasty name,
    and two runs on a device, of which one is no result; and a store with the history."""
    folder = root / "build"
    for name, wrong in (("photos/rpi", ()), ("photos/x86-cpu", range(8))):
        place = write_build(folder / name, wrong=wrong)
        report = read_report(place)
        assert report
        (place / "report.html").write_text(render_html(report))
        for _ in range(2):
            record_builds(root / "store", [(report, place)], COMMIT)
    path = write_build(folder / "nasty/rpi") / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": NASTY}))
    bundle = tiny_bundle(root / "bundle", beside_float=True)
    for name, seconds in (("good", (0.010, 0.0101)), ("drifted", (0.010, 0.030))):
        write_device_report(device_report(bundle, seconds), folder / "devices/pi5" / name)
    return folder
