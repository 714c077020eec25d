"""How much sooner two workers end than one, and what the scheduler takes of each step.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.workers            # on a quiet machine
    OMP_NUM_THREADS=1 python -m tests.benchmarks.workers --quick

Trainings of one network on solar cells that differ in their seeds need nothing of each other. This
process runs them one after the other, then two workers do, each in a store of its own that holds
the prepared images alone; several rounds of both in turn. What workers need to start counts. Then
one worker, and this process, run steps that do next to nothing: the difference is the scheduler's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import yaml

from edgekit.api.workers import crew_of
from edgekit.engine.crew import Crew, in_order
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.engine.store import Store
from edgekit.pipeline.plan import make_plan
from edgekit.scheduling.crew import StepCrew
from edgekit.scheduling.local import LocalWorkers
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target
from tests.scheduling.actions import Work, step

TARGET = "description: this machine\nruntimes: [onnxruntime]\ncpu: host\nthreads: 1\n"
TRAINED = "finetune"


def write_recipe(folder: Path, seed: int, quick: bool) -> Path:
    path = folder / f"seed-{seed}.yaml"
    training = {"epochs": 1 if quick else 4, "seed": seed}
    recipe = {
        "model": {"arch": "mobilenetv3_small_050", "weights": "scratch"},
        "data": {"source": "elpv", "image_size": 64},
        "stages": [{TRAINED: training}],
    }
    path.write_text(yaml.safe_dump(recipe))
    return path


def trainings(recipes: list[Path], target: Path, store: Store) -> list[list[Step]]:
    """Of each recipe, its steps up to the training."""
    plans = [make_plan(load_recipe(path), [load_target(str(target))], store) for path in recipes]
    last = [next(i for i, s in enumerate(p.steps) if s.id.name == TRAINED) for p in plans]
    return [[*plan.steps[: end + 1]] for plan, end in zip(plans, last, strict=True)]


def seconds_of(works: list[list[Step]], store: Store, crew: Crew | None) -> float:
    """Of all of them, each to its last step."""

    def perform(steps: list[Step]) -> None:
        with Executor(store, Silent(), crew) as executor:
            executor.perform_needed(steps, [steps[-1].id])

    begin = time.monotonic()
    for _ in in_order(crew, perform, works):
        pass
    return time.monotonic() - begin


def speed_up(folder: Path, count: int, rounds: int, quick: bool) -> None:
    recipes = [write_recipe(folder, seed, quick) for seed in range(count)]
    (folder / "host.yaml").write_text(TARGET)
    took: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for workers, found in took.items():
            store = Store(folder / f"store-{number}-{workers}")
            works = trainings(recipes, folder / "host.yaml", store)
            seconds_of([works[0][:-1]], store, None)
            begin = time.monotonic()
            with crew_of(store, workers) as crew:
                seconds_of(works, store, crew)
            found.append(time.monotonic() - begin)
    ratios = [one / two for one, two in zip(took[1], took[2], strict=True)]
    for workers, found in took.items():
        print(f"{workers} of {count} trainings at a time: {_told(found)} s")
    print(f"two are {statistics.median(ratios):.2f} times as fast ({_told(ratios, 2)})")


def overhead(folder: Path, count: int) -> None:
    """Of a step: it goes to a worker, and its result comes back through the store."""
    took = []
    for number in range(2):
        store = Store(folder / f"steps-{number}")
        works = [[step(Work(f"{n}", folder / f"log-{number}"))] for n in range(count + 1)]
        if number:
            with StepCrew(store, LocalWorkers(store.root, 1)) as crew:
                seconds_of(works[:1], store, crew)  # the worker is there then
                took.append(seconds_of(works[1:], store, crew))
        else:
            took.append(seconds_of(works[1:], store, None))
    here, there = (1000 * each / count for each in took)
    print(f"a step that does nothing: {here:.1f} ms here, {there:.1f} ms by a worker")


def _told(values: list[float], digits: int = 0) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short trainings")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        speed_up(Path(text), 4 if options.quick else 16, options.rounds, options.quick)
        overhead(Path(text), 20 if options.quick else 300)


if __name__ == "__main__":
    main()
