"""How much of a grid's front a search finds, and at what share of its cost.

    python -m tests.benchmarks.search --quick
    python -m tests.benchmarks.search --data photos/ --seeds 5

The grid is run to its end once: every candidate on the short rung. A search with a seed of its own
then looks at a part of it, and so does chance, which draws as many candidates. All are scored by
their hypervolume: accuracy after the short training, latency and size, up to the worst of the grid.
The figures of a candidate are the same for all, so that what differs is which were looked at. Cost
is the seconds that these candidates took in the grid; steps that the store held took none, so begin
with an empty one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import edgekit
from edgekit.engine.observer import Silent
from edgekit.evaluation import measure
from edgekit.evidence import believed
from edgekit.model_search.axes import point_name, size_of
from edgekit.model_search.report import CandidateRecord, SearchReport
from edgekit.model_search.study import CandidateStudy, Told
from tests.benchmarks.hypervolume import hypervolume
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
SHARE = 0.3
"""Of the grid that a search may look at: well more than the sampler draws at random first."""


class Clock(Silent):
    """When each candidate began."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended = 0.0
        """When the first of the front was trained in full."""

    def remark(self, line: str) -> None:
        if line.startswith("candidate "):
            self.begun.append(time.monotonic())
        elif "as the recipe says" in line:
            self.ended = self.ended or time.monotonic()

    def seconds(self, names: Sequence[str], end: float) -> dict[str, float]:
        """That each took, by its name.

        Args:
            names: in the order in which they were compared.
        """
        ends = [*self.begun[1:], end]
        return {n: e - b for n, b, e in zip(names, self.begun, ends, strict=True)}


def short_records(store: Path, grid: SearchReport) -> list[CandidateRecord]:
    """As they were told after the short rung: the front has longer trainings in the report."""
    journal = store / "search" / grid.name / f"{grid.key[:16]}.log"
    records = CandidateStudy(journal, grid.axes, 0).records
    return [CandidateRecord.model_validate(record) for record in records]


def drawn(names: Sequence[str], seed: int, most: int) -> list[str]:
    """What chance looks at."""
    return random.Random(seed).sample(list(names), most)


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


def worths(candidates: Sequence[CandidateRecord]) -> dict[str, tuple[float, float, float]]:
    found = {}
    for one in candidates:
        latency = believed(one.latency)
        if one.top1 and one.size and latency:
            found[one.name] = (-one.top1.value, latency.value, one.size.value)
    return found


def replayed(
    journal: Path, axes: dict[str, Any], known: dict[str, Any], seed: int, most: int
) -> list[str]:
    """The candidates that a search with this seed looks at; their figures are those of the grid."""
    study = CandidateStudy(journal, axes, seed)
    looked: list[str] = []
    while len(looked) < most and (asked := study.ask()):
        name = point_name(asked.settings)
        top1, latency, size = known.get(name, (0.0, 9.0, 9.0))
        beyond = {} if name in known else {"it can be built": 1.0}
        study.tell(asked, Told(-top1, latency, size, beyond), {"name": name})
        looked.append(name)
    return looked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny networks on drawn images")
    parser.add_argument("--data", type=Path, help="a folder of photos; ELPV unless given")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--store", type=Path, help="kept between runs")
    options = parser.parse_args()
    axes: dict[str, Any] = QUICK if options.quick else WHOLE
    with tempfile.TemporaryDirectory() as text:
        work = Path(text)
        data: dict[str, Any] = {"source": "elpv"}
        if options.quick:
            measure.PROTOCOL.update(warmup_seconds=0.05, seconds=0.2, rounds=40)
            measure.PROCESSES = 1
            data = {"source": "imagefolder", "path": str(write_images(work / "images"))}
        elif options.data:
            data = {"source": "imagefolder", "path": str(options.data.absolute())}
        (work / "grid.yaml").write_text(yaml.safe_dump(recipe_of(data, axes, options.quick)))
        (work / "host.yaml").write_text(TARGET)
        store = options.store or work / "store"
        clock = Clock()
        grid = edgekit.search(
            work / "grid.yaml", work / "host.yaml", out=work / "out", store=store, observer=clock
        )
        compared = short_records(store, grid)
        names, known = [c.name for c in compared], worths(compared)
        seconds = clock.seconds(names, clock.ended) if len(clock.begun) == len(names) else {}
        reference = [max(figures[i] for figures in known.values()) + 0.01 for i in range(3)]
        whole, most = hypervolume([*known.values()], reference), max(1, int(SHARE * size_of(axes)))
        total = sum(seconds.values())
        print(f"grid: {len(known)} of {len(names)} points in {total:.0f} s, volume {whole:.4g}")

        def score(looked: Sequence[str]) -> tuple[float, float]:
            """Shares of the hypervolume and of the seconds."""
            part = hypervolume([known[name] for name in looked if name in known], reference)
            took = sum(seconds.get(name, 0.0) for name in looked)
            return part / whole if whole else 1.0, took / total if total else float("nan")

        rows: dict[str, list[tuple[float, float]]] = {"search": [], "chance": []}
        for seed in range(options.seeds):
            looked = replayed(work / f"{seed}.log", axes, known, seed, most)
            rows["search"].append(score(looked))
            rows["chance"].append(score(drawn(names, seed, most)))
        for who, found in rows.items():
            volumes, costs = zip(*found, strict=True)
            print(
                f"{who}: {most} points, {100 * statistics.median(costs):.0f} % of the seconds: "
                f"median {100 * statistics.median(volumes):.1f} % of the hypervolume, "
                f"least {100 * min(volumes):.1f} %"
            )


if __name__ == "__main__":
    main()
