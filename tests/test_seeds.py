"""The table of tests/benchmarks/seeds.py, and that a seed reaches what trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.evidence import Evidence, Measurement
from edgekit.spec.recipe import load_recipe
from tests.benchmarks.seeds import SeedRow, told, with_seed

RECIPES = Path(__file__).parents[1] / "recipes"


def row(seed: int, drop: float, fault: str = "") -> SeedRow:
    points = Measurement(value=drop, unit="points", evidence=Evidence.HOST, method="paired")
    return SeedRow(
        recipe="tiny", seed=seed, target="rpi", runtime="litert", float_top1=80 + seed, drop=points,
        agreement=99.0, smaller=3.3, fault=fault,
    )  # fmt: skip


def test_a_line_tells_the_spread_and_how_many_hold() -> None:
    lines = list(told([row(0, 0.5), row(1, 1.5, "litert quantize: drop 1.5")]))
    assert lines[1:] == [
        "| tiny | rpi: litert | 80.0 to 81.0 | 0.5 to 1.5 | 99.0 | 3.30 | 1 of 2 |",
        "\ntiny, seed 1, rpi: litert quantize: drop 1.5",
    ]


def test_a_seed_reaches_every_stage_that_trains() -> None:
    for path in RECIPES.glob("*.yaml"):
        recipe = load_recipe(path)
        seeds = [_seed(stage) for stage in with_seed(recipe, 3).stages if stage.trains]
        assert seeds == [3] * len(seeds), path.name


def _seed(stage: Any) -> int:
    return int(stage.seed if hasattr(stage, "seed") else stage.recover.seed)
