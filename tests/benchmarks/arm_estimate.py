"""How far estimated latencies lie from published ones, and the intervals that follow from it.

    python -m tests.benchmarks.arm_estimate              # writes cycle_model/accuracy.json
    python -m tests.benchmarks.arm_estimate --only ncnn  # not XNNPACK's page: writes nothing

Runs ncnn's benchmark networks, and with tensorflow the MobileNets of XNNPACK's page, under
qemu-user: about 40 CPU minutes, kept in --cache. One number is fitted to latencies, `line_cycles`
of the Cortex-A72 in cycle_model/boards.json, to ncnn's on that core; each of these networks (with
its int8 twin) is judged by a fit to the others. Published figures and their sources:
published_latencies.json. Needs what `edgekit estimate --target rpi5` needs.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from edgekit.cycle_model import accuracy
from edgekit.cycle_model.accuracy import Accuracy, Spread, Statement
from edgekit.cycle_model.boards import memories_of
from edgekit.cycle_model.counting import Run, count, count_script
from edgekit.cycle_model.cycles import METHOD, Cycles, cycles_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.store import default_store
from edgekit.transports.emulation.cpus import CpuName
from tests.benchmarks.ncnn_networks import network

HERE = Path(__file__).parent
PUBLISHED = HERE / "published_latencies.json"
FITTED = (
    "what a line from the Cortex-A72's second cache costs, to ncnn's latencies on that core, where "
    "each network was judged by a fit to the others"
)
NCNN = "1.0.20230816"
"""Of the summer whose figures are published."""


@dataclass(frozen=True)
class Case:
    runtime: str
    threads: int
    core: CpuName
    model: str
    published: float
    """Milliseconds."""
    estimated: float

    @property
    def error(self) -> float:
        return self.estimated / self.published


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=default_store() / "cycles-published")
    parser.add_argument("--only", choices=["ncnn", "litert"])
    options = parser.parse_args()
    tables = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    cases = [
        case
        for runtime, table in tables.items()
        if options.only in (None, runtime)
        for case in _cases(runtime, table, options.cache)
    ]
    for line in report(cases):
        print(line)
    print(f"\n`line_cycles`, fitted to all of ncnn's: {_fitted(tables['ncnn'], options.cache)}")
    if options.only is None:
        path = Path(accuracy.__file__).with_suffix(".json")
        source = "; ".join(table["source"] for table in tables.values())
        write_atomically(path, intervals(cases, source).model_dump_json(indent=1) + "\n")
        print(f"\nWritten: {path}")


def _cases(runtime: str, table: dict[str, object], cache: Path) -> Iterator[Case]:
    cores, latencies = table["cores"], table["latencies"]
    assert isinstance(cores, list)
    assert isinstance(latencies, dict)
    threads = int(str(table["threads"]))
    for place, core in enumerate(cores):
        board = memories_of(core)
        counted = {model: _cycles(runtime, model, core, cache) for model in latencies}
        for model, cycles in counted.items():
            priced = board
            if board.line_cycles and runtime == "ncnn":
                others = [
                    (one, latencies[name][place])
                    for name, one in counted.items()
                    if _network(name) != _network(model)
                ]
                priced = board.model_copy(update={"line_cycles": line_cycles(others)})
            # More threads than one: edgekit prints no such figure; their ratios are compared here.
            estimated = cycles.core_ms / threads + priced.milliseconds(cycles.misses)
            yield Case(runtime, threads, core, model, latencies[model][place], estimated)


def _network(model: str) -> str:
    return model.removesuffix("_int8")


def line_cycles(published: Iterable[tuple[Cycles, float]]) -> float:
    """What a line from the second cache costs by latencies with one thread: least squares of
    relative errors.

    Args:
        published: what was counted, and milliseconds; all on one core.
    """
    rows = []
    for cycles, milliseconds in published:
        board = memories_of(cycles.core)
        alone = board.model_copy(update={"line_cycles": 0.0}).milliseconds(cycles.misses)
        line = cycles.misses[0] / board.ghz / 1e6
        rows.append((line / milliseconds, 1 - (cycles.core_ms + alone) / milliseconds))
    lines, rest = np.array(rows).T
    return max(0.0, float(lines @ rest / (lines @ lines)))


def _fitted(ncnn: dict[str, object], cache: Path) -> str:
    """By core; only that of the A72 is used."""
    cores, latencies = ncnn["cores"], ncnn["latencies"]
    assert isinstance(cores, list)
    assert isinstance(latencies, dict)
    found = {
        core: line_cycles((_cycles("ncnn", m, core, cache), ms[i]) for m, ms in latencies.items())
        for i, core in enumerate(cores)
    }
    return ", ".join(f"{core} {price:.2f}" for core, price in found.items())


def _cycles(runtime: str, model: str, core: CpuName, cache: Path) -> Cycles:
    path = cache / f"{runtime}-{model}-{core}-{METHOD}.json"
    if path.exists():
        return Cycles.model_validate_json(path.read_bytes())
    cache.mkdir(parents=True, exist_ok=True)
    counted = (_count_ncnn if runtime == "ncnn" else _count_litert)(model, core, cache)
    write_atomically(path, counted.model_dump_json())
    return counted


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _count_ncnn(model: str, core: CpuName, cache: Path) -> Cycles:
    site = cache / f"ncnn-{NCNN}"
    if not site.exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site),
             "--only-binary=:all:", "--platform=manylinux2014_aarch64", "--implementation=cp",
             "--python-version=3.11", f"ncnn=={NCNN}"],
            check=True,
        )  # fmt: skip
    param = cache / f"{model}.param"
    param.write_text(network(model).text(), encoding="utf-8")
    side = "227" if model.startswith("squeezenet") else "224"
    script = [str(HERE / "ncnn_guest.py"), str(site), str(param), side]
    return cycles_of(count_script(script, core, _say, f"ncnn {model}"), core)


def _count_litert(model: str, core: CpuName, cache: Path) -> Cycles:
    path = cache / f"{model}.tflite"
    if not path.exists():
        _convert(model, path)
    dtype = "int8" if model.endswith("_int8") else "float32"
    run = Run(path, "litert", (1, 224, 224, 3), dtype)
    return cycles_of(count(run, core, _say), core)


def _convert(model: str, path: Path) -> None:
    """Keras's network with weights that nobody trained, in float or with all of it in int8."""
    import tensorflow as tf

    known: dict[str, Callable[..., object]] = {
        "mobilenet_v1": tf.keras.applications.MobileNet,
        "mobilenet_v2": tf.keras.applications.MobileNetV2,
        "mobilenet_v3_large": tf.keras.applications.MobileNetV3Large,
        "mobilenet_v3_small": tf.keras.applications.MobileNetV3Small,
    }
    image = tf.keras.Input(batch_shape=(1, 224, 224, 3))
    network = known[model.removesuffix("_int8")](weights=None, input_tensor=image)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if model.endswith("_int8"):
        source = np.random.default_rng(0)
        images = [source.standard_normal((1, 224, 224, 3)).astype("float32") for _ in range(3)]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())


def report(cases: list[Case]) -> Iterator[str]:
    """Markdown: every figure, then the errors by board, runtime and kind of statement."""
    for runtime in dict.fromkeys(case.runtime for case in cases):
        own = [case for case in cases if case.runtime == runtime]
        threads = own[0].threads
        yield f"\n## {runtime}, published with {threads} thread{'s' * (threads > 1)}\n"
        cores = list(dict.fromkeys(case.core for case in own))
        yield "| model | " + " | ".join(memories_of(core).board for core in cores) + " |"
        yield "|---" * (1 + len(cores)) + "|"
        for model in dict.fromkeys(case.model for case in own):
            row = [next(c for c in own if (c.core, c.model) == (core, model)) for core in cores]
            cells = [f"{c.published:g}, {c.estimated:.1f} ({c.error:.2f})" for c in row]
            yield f"| {model} | " + " | ".join(cells) + " |"
        yield "\n| statement | board | cases | median error | nine in ten within | largest |"
        yield "|---|---|--:|--:|--:|--:|"
        for core in cores:
            yield from _errors([case for case in own if case.core == core])


def _errors(cases: list[Case]) -> Iterator[str]:
    board = memories_of(cases[0].core).board
    if cases[0].threads == 1:
        yield _row("latency", board, [case.error for case in cases])
    yield _row("ratio of two models", board, [a.error / b.error for a, b in combinations(cases, 2)])
    yield _row("int8 over float", board, [a.error / b.error for a, b in _int8_pairs(cases)])


def _int8_pairs(cases: list[Case]) -> list[tuple[Case, Case]]:
    """The same network in int8 and in float."""
    models = {case.model: case for case in cases}
    return [(models[f"{m}_int8"], models[m]) for m in models if f"{m}_int8" in models]


def _row(what: str, board: str, errors: list[float]) -> str:
    off = [100 * (max(error, 1 / error) - 1) for error in errors]
    high = np.quantile(off, 0.9)
    return (
        f"| {what} | {board} | {len(off)} | {np.median(off):.0f} % | {high:.0f} % | "
        f"{max(off):.0f} % |"
    )


def intervals(cases: list[Case], source: str) -> Accuracy:
    """What accuracy.json holds. A latency's interval reaches from the published figure at the 5 %
    quantile to that at 95 %, outwards where they lie between two, and to either side at least as
    far as half of the estimates were off. A ratio may be asked either way round, so its interval is
    symmetrical in its logarithm; of several sets of pairs the one with the largest errors counts,
    as it is not known which is most like a user's two files."""
    cores: dict[CpuName, dict[Statement, Spread]] = {}
    for core in dict.fromkeys(case.core for case in cases):
        own = [case for case in cases if case.core == core]
        alone = [case for case in own if case.threads == 1]
        cores[core] = {
            "absolute": _absolute(alone),
            "ratio": max(_ratios(own), key=lambda spread: spread.high),
        }
    return Accuracy(method=METHOD, source=source, fitted=FITTED, cores=cores)


def _absolute(cases: list[Case]) -> Spread:
    times = [1 / case.error for case in cases]
    median = float(np.median([max(t, 1 / t) for t in times]))
    low = min(1 / median, float(np.quantile(times, 0.05, method="lower")))
    high = max(median, float(np.quantile(times, 0.95, method="higher")))
    what = f"{len(cases)} published latencies of other networks ({_whose(cases)})"
    return _spread(low, high, median, what)


def _ratios(cases: list[Case]) -> Iterator[Spread]:
    for runtime in dict.fromkeys(case.runtime for case in cases):
        own = [case for case in cases if case.runtime == runtime]
        both = f"of {len(own)} published latencies of other networks ({_whose(own)})"
        for pairs, what in (
            (list(combinations(own, 2)), "pairs"),
            (_int8_pairs(own), "pairs of int8 and float"),
        ):
            errors = [abs(math.log(a.error / b.error)) for a, b in pairs]
            wide = math.exp(float(np.quantile(errors, 0.9, method="higher")))
            median = math.exp(float(np.median(errors)))
            yield _spread(1 / wide, wide, median, f"{len(pairs)} {what} {both}")


def _whose(cases: list[Case]) -> str:
    threads = cases[0].threads
    return f"{cases[0].runtime}, {threads} thread{'s' * (threads > 1)}"


def _spread(low: float, high: float, median: float, cases: str) -> Spread:
    return Spread(
        low=round(low, 3), high=round(high, 3), median_error=round(median - 1, 3), cases=cases
    )


if __name__ == "__main__":
    main()
