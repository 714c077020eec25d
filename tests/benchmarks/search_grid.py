"""Every candidate of a grid on the short rung: its figures, and the seconds of one core it took.

    python -m tests.benchmarks.search_grid GRID.json
    python -m tests.benchmarks.search_grid GRID.json --data photos/

`python -m tests.benchmarks.search GRID.json` lets searches look at a part of it.
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

import edgekit
from edgekit.engine.action import library_versions
from edgekit.engine.observer import Silent
from edgekit.evaluation import measure
from edgekit.evidence import believed
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.study import CandidateStudy
from tests.conftest import write_images

TARGET = "description: this machine\nruntimes: [onnxruntime]\ncpu: host\nthreads: 1\n"
QUICK = {"model.arch": ["test_efficientnet", "test_resnet"], "data.image_size": [32, 48]}
WHOLE = {
    "model.arch": [
        "mobilenetv3_small_050",
        "mobilenetv3_small_075",
        "mobilenetv3_small_100",
        "mobilenetv2_050",
        "mobilenetv2_100",
        "resnet18",
    ],
    "data.image_size": [64, 96, 128, 160],
    "finetune.learning_rate": [3.0e-4, 1.0e-3, 3.0e-3],
}


class GridPoint(BaseModel):
    model_config = ConfigDict(extra="forbid")

    worth: tuple[float, float, float] | None
    """Top-1 after the short training with its sign changed, latency, size; None where it failed."""
    seconds: float
    """Of one core that it took."""


class Grid(BaseModel):
    model_config = ConfigDict(extra="forbid")

    created: str
    machine: str
    versions: dict[str, str]
    images: int
    """That were held back, and told the top-1."""
    axes: dict[str, list[Any]]
    points: dict[str, GridPoint]
    """By the candidates' names."""


def computed() -> float:
    """Seconds of one core that this process and those that it started have computed."""
    both = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return sum(sum(resource.getrusage(who)[:2]) for who in both)


class Clock(Silent):
    """What the process had computed when each candidate began."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended = 0.0
        """When the first of the front was trained in full."""

    def remark(self, line: str) -> None:
        if line.startswith("candidate "):
            self.begun.append(computed())
        elif "as the recipe says" in line:
            self.ended = self.ended or computed()

    def seconds(self) -> list[float]:
        """That each took, in the order in which they were compared."""
        ends = [*self.begun[1:], self.ended or computed()]
        return [end - begin for begin, end in zip(self.begun, ends, strict=True)]


def short_records(store: Path, grid: SearchReport) -> list[CandidateRecord]:
    """As they were told after the short rung: the front has longer trainings in the report."""
    journal = store / "search" / grid.name / f"{grid.key[:16]}.log"
    records = CandidateStudy(journal, grid.axes, 0).records
    return [CandidateRecord.model_validate(record) for record in records]


def recipe_of(data: dict[str, Any], axes: dict[str, Any], quick: bool) -> dict[str, Any]:
    return {
        "model": {"arch": axes["model.arch"][0], "weights": "scratch"},
        "data": {**data, "image_size": axes["data.image_size"][0]},
        "stages": [
            {"finetune": {"epochs": 2 if quick else 12, "learning_rate": 3.0e-3}},
            {"quantize": {"method": "ptq", "samples": 8 if quick else 128, "every_class": False}},
        ],
        "allow_untrained": True,
        "search": {"over": axes, "epochs": 1 if quick else 3, "front": 1, "candidates": 1000},
    }


def point_of(record: CandidateRecord, seconds: float) -> GridPoint:
    latency = believed(record.latency)
    if record.top1 and record.size and latency:
        worth = -record.top1.value, latency.value, record.size.value
        return GridPoint(worth=worth, seconds=seconds)
    return GridPoint(worth=None, seconds=seconds)


def measured_grid(work: Path, data: dict[str, Any], axes: dict[str, Any], quick: bool) -> Grid:
    """
    Args:
        work: an empty folder.
    """
    (work / "grid.yaml").write_text(yaml.safe_dump(recipe_of(data, axes, quick)))
    (work / "host.yaml").write_text(TARGET)
    store, clock = work / "store", Clock()
    found = edgekit.search(
        work / "grid.yaml", work / "host.yaml", out=work / "out", store=store, observer=clock
    )
    records = short_records(store, found)
    return Grid(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=platform.processor() or platform.machine(),
        versions=library_versions(("torch", "timm", "onnxruntime", "optuna")),
        images=found.held_back or 0,
        axes=axes,
        points={r.name: point_of(r, s) for r, s in zip(records, clock.seconds(), strict=True)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grid", type=Path)
    parser.add_argument("--quick", action="store_true", help="tiny networks on drawn images")
    parser.add_argument("--data", type=Path, help="a folder of photos; ELPV unless given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        work = Path(text)
        data: dict[str, Any] = {"source": "elpv"}
        if options.quick:
            measure.PROTOCOL.update(warmup_seconds=0.05, seconds=0.2, rounds=40)
            measure.PROCESSES = 1
            data = {"source": "imagefolder", "path": str(write_images(work / "images"))}
        elif options.data:
            data = {"source": "imagefolder", "path": str(options.data.absolute())}
        axes: dict[str, Any] = QUICK if options.quick else WHOLE
        grid = measured_grid(work, data, axes, options.quick)
    options.grid.write_text(grid.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    main()
