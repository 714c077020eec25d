"""The time of each operator of an IR, from the performance counters of OpenVINO's CPU plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.agent.agent import openvino_options
from edgekit.errors import EdgekitError
from edgekit.runtimes import _openvino_read as read
from edgekit.runtimes.contract.operator_times import (
    WARM_UP,
    OperatorTimes,
    TimedOperator,
    sample_input,
    timed_runs,
)

METHOD = "OpenVINO's performance counters, the mean of {runs} runs in whole microseconds"


def operator_times(path: Path, seconds: float) -> OperatorTimes:
    """See `TimesOperators.operator_times`."""
    model, core = read.load_for_one(path), read.core()
    options = openvino_options(core, "CPU", threads=1, exact=False)
    try:
        compiled = core.compile_model(model, "CPU", {**options, "PERF_COUNT": "YES"})
        request, image = compiled.create_infer_request(), sample_input(read.port(model.input(0)))
        for _ in range(WARM_UP):
            request.infer([image])
        before = _means(request)
        inferences = timed_runs(lambda: request.infer([image]), seconds)
        after = _means(request)
    except Exception as error:  # the library's exceptions have no common base of their own
        raise EdgekitError(f"OpenVINO cannot profile {path}: {error}") from error
    # A mean is of all runs so far, of which the first ones are slow.
    runs = 2 * WARM_UP + len(inferences)
    taken = {
        name: max(0.0, runs * mean - WARM_UP * before.get(name, 0.0)) / (runs - WARM_UP)
        for name, mean in after.items()
    }
    return OperatorTimes(
        operators=tuple(
            TimedOperator(operator=operator, seconds=taken.get(name, 0.0))
            for name, operator in read.running_operators(model, compiled.get_runtime_model())
        ),
        inferences=tuple(inferences),
        method=METHOD.format(runs=runs - WARM_UP),
    )


def _means(request: Any) -> dict[str, float]:
    """Seconds by the names of the running operators."""
    return {
        counter.node_name: counter.real_time.total_seconds()
        for counter in request.get_profiling_info()
        if counter.status.name == "EXECUTED"
    }
