"""Which ranges hold most often, so that a search tries them first.

    python tests/benchmarks/first_ranges.py RESULTS.jsonl [--arch NAME ...]

Trains architectures of recipes/matrix/architectures.yaml, at 64 px and for two epochs, so that many
are trained in a short time, and quantises each with every entry of `RANGES` on every runtime, with
nothing else done to it. Calibrated on 64 images and judged on 200 others, all of the training side:
nothing is taken from the validation split. RESULTS gets a line for each trial, so that a run that
was stopped goes on. Prints a table of all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # a script sees its own folder alone

from edgekit.engine.action import Context
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store, default_store
from edgekit.errors import EdgekitError
from edgekit.model_search.matrix import load_matrix
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.quantization.float_rule import float_ops_by_rule
from edgekit.quantization.ptq_search import RANGES
from edgekit.quantization.stop_criterion import StopCriterion
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials, trials_of
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.compiled_metadata import TrialResult
from edgekit.runtimes.contract.settings import Quantization
from edgekit.spec.recipe import Recipe
from edgekit.spec.target import Target
from edgekit.stages.quantize import Quantize

MATRIX = Path(__file__).parents[2] / "recipes/matrix/architectures.yaml"
RUNTIMES = ("litert", "onnxruntime", "openvino")
ARCHITECTURES = (
    "mobilenetv3_small_100", "efficientnet_b0", "mobilenetv2_100", "mobilenetv4_conv_small",
    "resnet18", "efficientvit_b0", "deit_tiny_patch16_224", "tf_efficientnet_lite0",
    "mobilenetv1_100", "convnext_atto", "vit_xsmall_patch16_clip_224", "mobilenetv3_large_100",
)  # fmt: skip
SMALL = {"image_size": 64, "epochs": 2}
SAMPLES = 64
Row = dict[str, Any]


def recipe(arch: str) -> Recipe:
    matrix = load_matrix(MATRIX)
    entry = next(entry for entry in matrix.architectures if entry.arch == arch)
    small = type(entry).model_validate(entry.model_dump(exclude=set(SMALL)) | SMALL)
    own = matrix.recipe(small)
    trained = tuple(stage for stage in own.stages if stage.trains)
    return own.model_copy(update={"stages": (*trained, Quantize(samples=SAMPLES))})


def make(plan: Plan, executor: Executor, id: StepId) -> None:
    """A step and what it needs, and nothing else of the plan."""
    step = next(step for step in plan.steps if step.id == id)
    for name in step.inputs.values():
        if name not in executor.artifacts:
            make(plan, executor, name)
    executor.perform(step)


def ways(trials: QuantizationTrials) -> Iterator[tuple[str, TrialResult]]:
    """Each entry of RANGES, with what a rule keeps in float."""
    first = QuantizationConfig(quantization=Quantization(quantizer=trials.runtime.quantizers[0]))
    first = first.keep_in_float(float_ops_by_rule(trials, first).operators)
    for method, percentile in RANGES:
        update = {"calibration": method, "percentile": percentile}
        config = QuantizationConfig(quantization=first.quantization.model_copy(update=update))
        yield config.label.split(",")[0], trials.try_out(config)


def rows(arch: str, done: set[tuple[str, str]]) -> Iterator[Row]:
    """A row for each trial on each runtime that is not `done`."""
    target = Target(name="host", description="", runtimes=RUNTIMES, cpu="host", threads=1)
    store = Store(default_store())
    plan = make_plan(recipe(arch), [target], store)
    with Executor(store, Silent()) as executor:
        for runtime in (name for name in RUNTIMES if (arch, name) not in done):
            needed = next(s for s in plan.steps if s.id == f"host/{runtime}/quantize").inputs
            for id in needed.values():
                make(plan, executor, id)
            inputs = {role: executor.artifacts[id] for role, id in needed.items()}
            context = Context(progress=lambda *_: None, partial=store.root)
            with trials_of(find_runtimes()[runtime](), inputs, context) as trials:
                # All of a runtime or none: a run that is stopped does it again.
                yield from [
                    {"arch": arch, "runtime": runtime, "way": way, **trial.model_dump()}
                    for way, trial in ways(trials)
                ]


def told(found: list[Row]) -> Iterator[str]:
    """Markdown: how often each way holds what the search asks for without gates."""
    asked = StopCriterion()
    total = len({(row["arch"], row["runtime"]) for row in found})
    yield f"| ranges | {' | '.join(RUNTIMES)} | holds in | agreement %, median | SQNR dB, median |"
    yield f"|---|{'--:|' * (len(RUNTIMES) + 3)}"
    for way in dict.fromkeys(row["way"] for row in found):
        own = [row for row in found if row["way"] == way]
        trials = [(row["runtime"], TrialResult.model_validate(_trial(row))) for row in own]
        holds = [runtime for runtime, trial in trials if asked.holds(trial)]
        agreement = statistics.median(trial.agreement or 0 for _, trial in trials)
        sqnr = statistics.median(trial.sqnr_db or 0 for _, trial in trials)
        counts = [f"{holds.count(r)} of {sum(r == name for name, _ in trials)}" for r in RUNTIMES]
        yield (
            f"| {way} | {' | '.join(counts)} | {len(holds)} of {total} | {agreement:.1f} "
            f"| {sqnr:.1f} |"
        )


def _trial(row: Row) -> Row:
    return {key: value for key, value in row.items() if key in TrialResult.model_fields}


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--arch", nargs="*", default=ARCHITECTURES)
    options = parser.parse_args()
    for arch in options.arch:
        done = {(row["arch"], row["runtime"]) for row in read(options.results)}
        try:
            for row in rows(arch, done):
                with options.results.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
        except EdgekitError as error:
            print(f"{arch}: {error}", file=sys.stderr)
    for line in told(read(options.results)):
        print(line)


if __name__ == "__main__":
    main()
