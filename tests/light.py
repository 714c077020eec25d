"""edgekit where nothing of its extras is installed, in processes of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgekit.devices.bundle.pack import pack_bundle
from edgekit.packages import EXTRAS
from edgekit.report.device import write_device_report
from tests.comparison.samples import device_report, write_build
from tests.devices.results import result_of
from tests.devices.tiny import tiny_bundle

SITE = """
import sys

REFUSED = {modules!r}


class Without:
    '''A finder of Python's that does not find some modules.'''

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in REFUSED:
            return None
        return self.finder.find_spec(name, path, target)


sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
HEAVY = sorted({module for extra in EXTRAS.values() for module in extra.modules})


@dataclass(frozen=True)
class Desk:
    """A folder of an engineer's: two builds, two runs on a board, a bundle, and its result."""

    folder: Path
    python: Path
    environment: dict[str, str]

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        words = [str(self.python), "-m", "edgekit", *shlex.split(line)]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done


def without_extras(folder: Path) -> dict[str, str]:
    """An environment in which every Python fails to import what an extra brings."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE.format(modules=set(HEAVY)))
    root = Path(__file__).parents[1]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(folder), str(root)])}


def desk_in(folder: Path, python: Path, environment: dict[str, str]) -> Desk:
    write_build(folder / "good/rpi")
    write_build(folder / "worse/rpi", wrong=range(8))
    bundle = tiny_bundle(folder / "bundle")
    report = device_report(bundle)
    for name in ("pi4", "pi5"):
        write_device_report(report, folder / name)
    pack_bundle(bundle, folder / "stick")
    result = result_of(bundle)
    del result["latency"], result["sustained"]  # of a run that asked for neither
    (folder / "stick/result.json").write_text(json.dumps(result))
    device = folder / "device-python"
    device.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {shlex.quote(sys.executable)} "$@"\n')
    device.chmod(0o755)
    own = {"EDGEKIT_STORE": str(folder / "store"), "XDG_CONFIG_HOME": str(folder / "config")}
    return Desk(folder, python, environment | own)
