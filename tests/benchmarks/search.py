"""How much of a grid's front a search finds, and at what share of its cost.

    python -m tests.benchmarks.search tests/benchmarks/search_grid.json

The grid was run to its end once (`search_grid.py`). A search with a seed of its own then looks at a
part of it, until that has taken 30 % of the grid's seconds; so does chance. Both are scored by
their hypervolume: accuracy after the short training, latency and size, up to the worst of the grid.
The figures of a candidate are the same for all, so that what differs is which were looked at.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edgekit.model_search.axes import point_name
from edgekit.model_search.hypervolume import hypervolume
from edgekit.model_search.study import CandidateStudy, Outcome
from tests.benchmarks.search_grid import Grid

SHARE = 0.3
"""Of the grid's seconds."""
GOAL = 99.0
"""Percent of the hypervolume."""


def searched(grid: Grid, journal: Path, seed: int) -> Iterator[str]:
    """The candidates that a search with this seed looks at; their figures are those of the grid."""
    study = CandidateStudy(journal, grid.axes, seed)
    while asked := study.ask_round(len(grid.points)):
        for one in asked:
            name = point_name(one.settings)
            worth = grid.points[name].worth
            outcome = Outcome(None, None, None, failed=True)
            if worth:
                outcome = Outcome(-worth[0], *worth[1:], failed=False)
            study.tell(one, outcome, {"name": name})
            yield name


def by_figure(grid: Grid, names: Sequence[str], figure: int) -> list[str]:
    """In the order of their latencies (1) or sizes (2), as if these were known beforehand."""
    worths = {name: grid.points[name].worth for name in names}
    return sorted(names, key=lambda name: worth[figure] if (worth := worths[name]) else math.inf)


def affordable(grid: Grid, names: Iterable[str]) -> list[str]:
    """The first of them, up to the share of the grid's seconds."""
    most = SHARE * sum(point.seconds for point in grid.points.values())
    looked: list[str] = []
    took = 0.0
    for name in names:
        took += grid.points[name].seconds
        if took > most:
            break
        looked.append(name)
    return looked


def volume(grid: Grid, names: Iterable[str]) -> float:
    every = [point.worth for point in grid.points.values() if point.worth]
    reference = [max(worth[i] for worth in every) + 0.01 for i in range(3)]
    return hypervolume([w for name in names if (w := grid.points[name].worth)], reference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grid", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    grid = Grid.model_validate_json(options.grid.read_bytes())
    whole = volume(grid, grid.points)
    total = sum(point.seconds for point in grid.points.values())
    good = sum(point.worth is not None for point in grid.points.values())
    print(f"grid: {good} of {len(grid.points)} points, {total:.0f} core seconds, {grid.created}")
    shares: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            names = list(grid.points)
            random.Random(seed).shuffle(names)
            looked = {
                "search": affordable(grid, searched(grid, Path(folder) / f"{seed}.log", seed)),
                "chance": affordable(grid, names),
                "the smallest first": affordable(grid, by_figure(grid, names, 2)),
                "the fastest first": affordable(grid, by_figure(grid, names, 1)),
            }
            told = []
            for who, found in looked.items():
                shares[who].append(100 * volume(grid, found) / whole)
                told.append(f"{who} {shares[who][-1]:.1f} % in {len(found)} points")
            print(f"seed {seed}: of the hypervolume " + ", ".join(told))
    for who, found_by in shares.items():
        most = sum(share >= GOAL for share in found_by)
        print(
            f"{who}: median {statistics.median(found_by):.1f} %, least {min(found_by):.1f} %, "
            f"{GOAL:g} % with {most} of {len(found_by)} seeds"
        )


if __name__ == "__main__":
    main()
