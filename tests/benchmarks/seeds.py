"""Whether a recipe holds its gates on every target, trained anew with several seeds.

    python tests/benchmarks/seeds.py RESULTS.jsonl RECIPE.yaml ... [--seeds 0 1 2 3 4]

Builds each recipe with each seed in its training stages, for all targets whose files differ, as
`edgekit build` does, but for latency: of that a glance is taken, so that a busy machine may do
it, and nothing of it is told or judged. RESULTS gets a line for each seed, target and runtime, so
that a run that was stopped goes on. Prints a table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edgekit.engine.observer import Silent
from edgekit.engine.store import Store, default_store
from edgekit.errors import EdgekitError
from edgekit.evaluation import measure
from edgekit.evidence import Measurement
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import RowResult, TargetResult, execute
from edgekit.spec.recipe import Recipe, load_recipe
from edgekit.spec.target import load_target
from edgekit.stages.base import Stage

HEAD = """\
| recipe | target: runtime | float top-1 % | drop, points | agreement % | smaller | holds |
|---|---|--:|--:|--:|--:|--:|"""
TARGETS = ("rpi", "android", "intel-npu", "x86-cpu")
"""The other ones that edgekit knows have rpi's files."""
GLANCE = {"warmup_seconds": 0.05, "seconds": 0.1, "rounds": 10, "runs_a_round": 1}


class SeedRow(BaseModel):
    """What one runtime shipped for one target, of one seed."""

    recipe: str
    seed: int
    target: str
    runtime: str
    float_top1: float
    drop: Measurement | None = None
    agreement: float | None = None
    smaller: float | None = None
    fault: str = ""
    """What broke a gate, or why nothing ships; empty where all held."""

    @property
    def key(self) -> tuple[str, int]:
        return self.recipe, self.seed


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"stages": tuple(_seeded(s, seed) for s in recipe.stages)})


def _seeded(stage: Stage, seed: int) -> Stage:
    """The stage with the seed wherever it trains: in itself, or in what recovers a cut."""
    fields = type(stage).model_fields
    if "seed" in fields:
        return stage.model_copy(update={"seed": seed})
    if "recover" in fields and (recover := getattr(stage, "recover", None)):
        return stage.model_copy(update={"recover": recover.model_copy(update={"seed": seed})})
    return stage


def rows(recipe: Recipe, seed: int) -> Iterator[SeedRow]:
    store = Store(default_store())
    plan = make_plan(with_seed(recipe, seed), [load_target(name) for name in TARGETS], store)
    for target in execute(plan, store, Silent()).targets:
        for runtime in target.plan.target.runtimes:
            yield _row(recipe.name, seed, target, runtime)


def _row(recipe: str, seed: int, target: TargetResult, runtime: str) -> SeedRow:
    own = [found for found in target.rows if found.row.variant == runtime]
    faults = [fault for fault in target.faults if fault.startswith(runtime)]
    about: dict[str, Any] = {
        "recipe": recipe, "seed": seed, "target": target.plan.target.name, "runtime": runtime,
        "float_top1": own[0].validation.top1.value if own else float("nan"),
        "fault": "; ".join(faults),
    }  # fmt: skip
    last = next((found for found in own if found.row.last), None)
    return SeedRow(**about, **_figures(last or own[-1])) if own else SeedRow(**about)


def _figures(found: RowResult) -> dict[str, Any]:
    validation = found.validation
    if validation.change is None or validation.size_ratio is None:
        return {}
    return {
        "drop": validation.change.drop,
        "agreement": validation.agreement.value,
        "smaller": 1 / validation.size_ratio.value,
    }


def told(found: list[SeedRow]) -> Iterator[str]:
    """Markdown: a line for each recipe, target and runtime, with the spread over its seeds."""
    yield HEAD
    groups = dict.fromkeys((row.recipe, row.target, row.runtime) for row in found)
    for recipe, target, runtime in groups:
        own = [r for r in found if (r.recipe, r.target, r.runtime) == (recipe, target, runtime)]
        drops = [row.drop.value for row in own if row.drop]
        holds = sum(not row.fault for row in own)
        yield (
            f"| {recipe} | {target}: {runtime} | {_spread([r.float_top1 for r in own])} "
            f"| {_spread(drops)} | {_spread([r.agreement for r in own if r.agreement])} "
            f"| {_spread([r.smaller for r in own if r.smaller], 2)} | {holds} of {len(own)} |"
        )
    for row in found:
        if row.fault:
            yield f"\n{row.recipe}, seed {row.seed}, {row.target}: {row.fault}"


def _spread(values: list[float], digits: int = 1) -> str:
    if not values:
        return "—"
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def read(path: Path) -> list[SeedRow]:
    if not path.exists():
        return []
    return [SeedRow.model_validate_json(line) for line in path.read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    options = parser.parse_args()
    measure.PROTOCOL.update(GLANCE)
    for seed in options.seeds:
        for recipe in map(load_recipe, options.recipes):
            if (recipe.name, seed) in {row.key for row in read(options.results)}:
                continue
            made = [row.model_dump(mode="json") for row in rows(recipe, seed)]
            # All of a seed or none: a run that is stopped does it again.
            with options.results.open("a") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in made)
    print("\n".join(told(read(options.results))))


if __name__ == "__main__":
    try:
        main()
    except EdgekitError as error:
        raise SystemExit(f"{error.message}\n{error.hint}") from error
