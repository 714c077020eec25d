"""The time of each node of an .onnx file, from ONNX Runtime's own profiler."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from edgekit.engine.temporary import temporary_folder
from edgekit.errors import EdgekitError
from edgekit.runtimes import _onnx_describe as reading
from edgekit.runtimes.contract.description import Operator
from edgekit.runtimes.contract.operator_times import (
    OperatorTimes,
    TimedOperator,
    sample_input,
    timed_runs,
)

KERNEL = "_kernel_time"
METHOD = "ONNX Runtime's profiler, the median of {runs} runs"


def operator_times(path: Path, seconds: float) -> OperatorTimes:
    """See `TimesOperators.operator_times`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling = True
    try:
        model, source = reading.read(path)
        with temporary_folder() as folder:
            options.profile_file_prefix = str(folder / "profile")
            session, running = reading.session_of(source, options, folder)
            image = {session.get_inputs()[0].name: sample_input(reading.port(running.input[0]))}
            inferences = timed_runs(lambda: session.run(None, image), seconds)
            events = json.loads(Path(session.end_profiling()).read_bytes())
    except Exception as error:  # the libraries' exceptions have no common base of their own
        raise EdgekitError(f"ONNX Runtime cannot profile {path}: {error}") from error
    names = _names(running)
    taken = _seconds(events, len(inferences), names)
    alike = Counter(names)
    operators = reading.running_operators(model, running)
    return OperatorTimes(
        operators=tuple(
            TimedOperator(operator=one, seconds=taken.get(name, 0.0) / alike[name])
            for one, name in zip(operators, names, strict=True)
        ),
        inferences=tuple(inferences),
        method=METHOD.format(runs=len(inferences)),
    )


def operators_by_node(path: Path) -> dict[str, Operator]:
    """What runs on this machine, by the names that the profiler tells; what has no name by its kind
    and its place among those of its kind, as `Flatten 0`.

    Raises:
        EdgekitError: the file cannot be loaded.
    """
    import onnxruntime

    try:
        model, source = reading.read(path)
        with temporary_folder() as folder:
            _, running = reading.session_of(source, onnxruntime.SessionOptions(), folder)
    except Exception as error:  # the libraries' exceptions have no common base of their own
        raise EdgekitError(f"ONNX Runtime cannot load {path}: {error}") from error
    operators = reading.running_operators(model, running)
    return dict(zip(_names(running), operators, strict=True))


def _names(running: Any) -> list[str]:
    """Of each node; one without a name is called by its kind and its place among those."""
    seen, names = Counter[str](), []
    for node in running.node:
        names.append(node.name or f"{node.op_type} {seen[node.op_type]}")
        seen[node.op_type] += not node.name
    return names


def _seconds(events: list[dict[str, Any]], runs: int, names: list[str]) -> dict[str, float]:
    """Of each node by its name as in `names`, the median over the last runs."""
    each: list[Counter[str]] = [Counter()]
    called, seen = {name: name for name in names}, Counter[str]()
    for event in events:
        name = event["name"]
        if event["cat"] == "Node" and name.endswith(KERNEL):
            told, kind = name.removesuffix(KERNEL), event["args"].get("op_name", "")
            if told not in called:  # made up by the profiler, as `Sigmoid_3`
                called[told] = f"{kind} {seen[kind]}"
                seen[kind] += 1
            each[-1][called[told]] += event["dur"]
        elif name == "model_run":
            each.append(Counter())
    counted = [run for run in each if run][-runs:]
    return {name: 1e-6 * median(run[name] for run in counted) for name in set().union(*counted)}
