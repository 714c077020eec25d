"""The pruned demo against the unpruned one: accuracy paired, int8 files interleaved in one run.

    python tests/benchmarks/pruned.py [runtimes, e.g. litert onnxruntime] > table.md

Builds recipes/mobilenet_int8.yaml and recipes/mobilenet_pruned_int8.yaml (or takes them from the
store) and times what they export, float and int8, as `edgekit build` would.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgekit import stats
from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Silent
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store, default_store
from edgekit.evaluation.measure import measure, undisturbed
from edgekit.evaluation.metrics import ratio_of
from edgekit.evaluation.timing import Candidate
from edgekit.evidence import Evidence
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import Build, RowResult, execute
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.input_form import InputForm
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target

RECIPES = Path(__file__).parents[2] / "recipes"
DENSE, PRUNED = "mobilenet_int8", "mobilenet_pruned_int8"
HEAD = """\
| runtime | network | top-1 % | drop from dense float, points | MB | latency / dense int8 | |
|---|---|--:|--:|--:|--:|---|"""


def build(name: str) -> Build:
    path = RECIPES / f"{name}.yaml"
    plan = make_plan(load_recipe(path), [load_target("rpi")], Store(default_store()))
    done = execute(plan, Store(default_store()), Silent())
    for target in done.targets:
        for fault in target.faults:
            print(f"{name}: {fault}", file=sys.stderr)
    return done


def files(built: dict[str, Build], runtime: str) -> dict[str, RowResult]:
    """By `<recipe> <stage>`: the float and the exported files of a runtime, each once."""
    shown = {DENSE: ("source", "export"), PRUNED: ("prune", "export")}
    return {
        f"{name} {result.row.stage}": result
        for name, one in built.items()
        for result in one.targets[0].rows
        if result.row.runtime == runtime and result.row.stage in shown[name]
    }


def candidate(name: str, runtime: str, artifact: Artifact) -> Candidate:
    form = InputForm.model_validate(artifact.metadata["form"])
    return Candidate(name, runtime, artifact.file(find_runtimes()[runtime].file), form)


def table(built: dict[str, Build], runtime: str) -> list[str]:
    found = files(built, runtime)
    images = built[DENSE].artifacts[StepId("images/validation")]
    labels = np.load(images.file("labels.npy"))
    candidates = [candidate(name, runtime, row.artifact) for name, row in found.items()]
    file = images.file("images.npy")
    timings = undisturbed(lambda: measure(candidates, file, lambda *_: None)).timings
    reference = np.load(built[DENSE].artifacts[StepId("reference")].file("scores.npy"))
    rows = []
    for name, row in found.items():
        scores = np.load(built[name.split()[0]].artifacts[row.row.validation].file("scores.npy"))
        right = scores.argmax(axis=1) == labels
        change = stats.paired_accuracy(reference.argmax(axis=1) == labels, right)
        ratio = ratio_of(timings[name], timings[f"{DENSE} export"], Evidence.HOST)
        busy = "disturbed" if timings[name].disturbed else ""
        rows.append(
            f"| {runtime} | {name} | {100 * right.mean():.1f} | {change.drop:.1f} "
            f"({change.low:.1f} to {change.high:.1f}) | {row.validation.size.value:.2f} | "
            f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) | {busy} |"
        )
    return rows


def main(runtimes: list[str]) -> None:
    built = {name: build(name) for name in (DENSE, PRUNED)}
    print(HEAD)
    for runtime in runtimes:
        print("\n".join(table(built, runtime)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["litert", "onnxruntime"])
