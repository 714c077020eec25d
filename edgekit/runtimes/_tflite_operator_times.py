"""The time of each operator of a .tflite file: LiteRT's Python module has no profiler, so each runs
in a file of its own.

A PAD whose values only a convolution reads goes with it, as XNNPACK makes one of them. The files
take turns with the whole one, in the network's order, so that each finds the caches as others have
left them. A call costs time too: as much is taken off each operator as makes all of them add up to
the whole, and no more than the shortest took: then they add up to more.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from edgekit.engine.temporary import temporary_folder
from edgekit.runtimes import _tflite as tflite
from edgekit.runtimes import _tflite_edit as edit
from edgekit.runtimes._litert_tools import library, need
from edgekit.runtimes._tflite_describe import describe
from edgekit.runtimes.contract.operator_times import OperatorTimes, TimedOperator, timed_runs

CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}
METHOD = "each operator in a file of its own, in turns with the whole, the median of {runs} runs"


def operator_times(path: Path, seconds: float) -> OperatorTimes:
    """See `TimesOperators.operator_times`."""
    import numpy as np

    operators = describe(path).operators
    with temporary_folder() as folder, library(f"LiteRT cannot profile {path}"):
        parts = parts_of(path, folder)
        taken = _in_turns([_loaded(file) for file in (path, *parts.values())], seconds)
    medians = np.median(taken, axis=0).tolist()
    each = without_calls(medians, list(parts), len(operators))
    return OperatorTimes(
        operators=tuple(
            TimedOperator(operator=operator, seconds=one)
            for operator, one in zip(operators, each, strict=True)
        ),
        inferences=tuple(taken[:, 0].tolist()),
        method=METHOD.format(runs=len(taken)),
    )


def parts_of(path: Path, folder: Path) -> dict[int, Path]:
    """A file of its own for each operator that `describe` lists, by its place from 1 on; a PAD that
    goes with another has none.

    Args:
        folder: where they are written.
    """
    model = tflite.read(path)
    unpacked = tflite.unpacked(model)
    running = [o for o in model.subgraphs[0].operators if int(o.outputs[0]) not in unpacked]
    fused, files = _pads(model), {}
    for number, operator in enumerate(running, start=1):
        if int(operator.outputs[0]) not in fused:
            files[number] = folder / f"operator-{number}.tflite"
            edit.write(_alone(model, operator, unpacked.keys() | fused), files[number])
    return files


def without_calls(medians: list[float], places: list[int], count: int) -> list[float]:
    """Seconds of each of `count` operators, without what a call costs.

    Args:
        medians: of the whole file, then of each part.
        places: of the parts, from 1 on.
    """
    whole, *parts = medians
    spare = (sum(parts) - whole) / max(1, len(parts) - 1)
    call = min(max(0.0, spare), *parts)
    known = dict(zip(places, parts, strict=True))
    return [known.get(number, call) - call for number in range(1, count + 1)]


def _in_turns(interpreters: list[Any], seconds: float) -> Any:
    """Seconds of each call, of shape (runs, interpreters)."""
    import numpy as np

    calls: list[float] = []

    def once() -> None:
        for interpreter in interpreters:
            start = time.perf_counter()
            interpreter.invoke()
            calls.append(time.perf_counter() - start)

    runs = len(timed_runs(once, seconds))
    return np.reshape(calls, (-1, len(interpreters)))[-runs:]


def _loaded(file: Path) -> Any:
    """An interpreter whose inputs hold something: what it is changes no time."""
    import numpy as np

    interpreter = need("ai_edge_litert.interpreter").Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    for entry in interpreter.get_input_details():
        is_index = entry["dtype"] in (np.int32, np.int64)  # 0 is within every axis
        interpreter.set_tensor(
            entry["index"], np.full(entry["shape"], 0 if is_index else 1, entry["dtype"])
        )
    return interpreter


def _pads(model: Any) -> set[int]:
    """The tensors of PADs that only a convolution reads."""
    graph, kinds = model.subgraphs[0], tflite.kinds(model)
    made = {
        int(o.outputs[0]) for o, kind in zip(graph.operators, kinds, strict=True) if kind == "PAD"
    }
    readers: dict[int, list[str]] = {}
    for operator, kind in zip(graph.operators, kinds, strict=True):
        for i in made.intersection(map(int, operator.inputs)):
            readers.setdefault(i, []).append(kind)
    return {i for i, kinds in readers.items() if len(kinds) == 1 and kinds[0] in CONVOLUTIONS}


def _with_makers(graph: Any, operator: Any, inside: Collection[int]) -> list[Any]:
    made_by = tflite.producers(graph)
    before = [graph.operators[made_by[int(i)]] for i in operator.inputs if int(i) in inside]
    return [*before, operator]


def _used(parts: list[Any]) -> list[int]:
    touched = (int(i) for part in parts for i in (*part.inputs, *part.outputs))
    return [i for i in dict.fromkeys(touched) if i >= 0]


def _given(graph: Any, parts: list[Any], used: Iterable[int]) -> list[int]:
    """The tensors that come from other operators, or from outside the model."""
    made = {*tflite.producers(graph), *map(int, graph.inputs)}
    own = {int(i) for part in parts for i in part.outputs}
    return [i for i in used if i in made and i not in own]


def _alone(model: Any, operator: Any, inside: Collection[int]) -> Any:
    """A model of one operator.

    Args:
        inside: tensors whose makers go with it: its weights unpacked, its input padded.
    """
    schema = need("ai_edge_litert.schema_py_generated")
    graph = model.subgraphs[0]
    parts = _with_makers(graph, operator, inside)
    used = _used(parts)
    place = {old: new for new, old in enumerate(used)}
    own = schema.SubGraphT()
    own.tensors = [copy.copy(graph.tensors[old]) for old in used]
    buffers = [schema.BufferT()]  # the first one is empty by convention
    for tensor in own.tensors:
        buffers.append(model.buffers[tensor.buffer])
        tensor.buffer = len(buffers) - 1
    own.operators = [copy.copy(part) for part in parts]
    for part in own.operators:
        part.inputs = [place.get(int(i), -1) for i in part.inputs]
        part.outputs = [place[int(i)] for i in part.outputs]
    own.inputs = [place[i] for i in _given(graph, parts, used)]
    own.outputs = [place[int(i)] for i in operator.outputs]
    alone = schema.ModelT()
    alone.version, alone.operatorCodes, alone.buffers = 3, model.operatorCodes, buffers
    alone.subgraphs = [own]
    return alone
