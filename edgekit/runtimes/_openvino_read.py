"""Read an IR back: what runs in what precision, and what an NPU would not take."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from edgekit import packages
from edgekit.errors import EdgekitError
from edgekit.runtimes import _openvino_graph as graph
from edgekit.runtimes.contract.description import Description, Operator, Port, Work, only

PRECISIONS = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "int8"}
"""The library's names of the types of arithmetic; an operator of any other keeps its name."""


HEAVY = {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "ScaledDotProductAttention"}
CONVERTS = {"FakeQuantize", "Convert"}
LAYOUT_CHANGES = {"Transpose", "Reorder"}


def need(name: str, step: str) -> Any:
    """A library, or a `MissingPackage` that says what it is for.

    OpenVINO and NNCF report each import and call to their maker unless the package they report
    with is missing: for them it is.

    Raises:
        MissingPackage: it is not installed, with the extra that installs it.
    """
    missing: Any = None  # how Python marks a module that an import must not find
    sys.modules.setdefault("openvino_telemetry", missing)
    with packages.told(f"{step} for OpenVINO", "" if name == "keras" else "intel-npu"):
        return importlib.import_module(name)


@cache
def core() -> Any:
    """OpenVINO's core, one for the whole process.

    The CPU plugin of each core gives the thread a stack for its signals, and puts the one before it
    back when it goes. Where two overlap, the last to go puts back the first one's, which is freed:
    the next signal, such as Ctrl-C, is a segmentation fault (`CPUSpecialSetup`, OpenVINO 2026.4).
    """
    return need("openvino", "reading a model").Core()


def load(path: Path) -> Any:
    """The model of an .xml file and its .bin, as openvino keeps it.

    Raises:
        EdgekitError: the file cannot be read.
    """
    need("openvino", "reading a model")
    try:
        return core().read_model(path)
    except Exception as error:  # the library's exceptions have no common base of their own
        raise EdgekitError(f"OpenVINO cannot load {path}: {error}") from error


def load_for_one(path: Path) -> Any:
    """A model as it is for one image, where its file leaves the batch open.

    Raises:
        EdgekitError: the file cannot be read, or has other inputs besides.
    """
    model = load(path)
    only([port.get_node().get_friendly_name() for port in model.inputs], path)
    shape = model.input(0).get_partial_shape()
    if len(shape) and shape[0].is_dynamic:
        shape[0] = 1
        model.reshape(shape)
    return model


def describe(path: Path) -> Description:
    """See `Reader.describe`.

    Raises:
        EdgekitError: the file cannot be read, or not be compiled here.
    """
    model = load_for_one(path)
    running = _running(model, path)
    made, live, nodes = _parts(model, running)
    return Description(
        input=port(model.input(0)),
        output=port(model.output(0)),
        operators=tuple(_operator(op, made, live) for op in nodes),
        per_channel=_is_per_channel(model),
        conversions=_conversions(nodes, made),
        transposes=_transposes(nodes, made),
    )


def running_operators(model: Any, running: Any) -> list[tuple[str, Operator]]:
    """What runs of a model, each by the name that the runtime gives it in this process.

    Args:
        running: `CompiledModel.get_runtime_model`.
    """
    made, live, nodes = _parts(model, running)
    return [(str(op.get_friendly_name()), _operator(op, made, live)) for op in nodes]


def _parts(model: Any, running: Any) -> tuple[dict[str, Any], set[str], list[Any]]:
    """The operators of the file by name, the names of what depends on the image, and what runs."""
    made = {op.get_friendly_name(): op for op in model.get_ops()}
    live = graph.computed(running)
    nodes = [op for op in running.get_ordered_ops() if op.get_name() in live and _works(op)]
    return made, live, nodes


def _conversions(nodes: list[Any], made: dict[str, Any]) -> tuple[str, ...]:
    changes = (op for op in nodes if _changes_type(op, made) and not _is_at_an_end(op))
    return tuple(_label(op, made) for op in changes)


def _transposes(nodes: list[Any], made: dict[str, Any]) -> tuple[str, ...]:
    """A reorder that changes the type as well counts as a conversion alone."""
    moves = (op for op in nodes if _fact(op, "layerType") in LAYOUT_CHANGES)
    return tuple(_label(op, made) for op in moves if not _changes_type(op, made))


def _works(op: Any) -> bool:
    """Whether a running node does anything; a `_fake` reorder reads memory in another order, and
    moves none."""
    is_end = _fact(op, "layerType") in {"Input", "Output"}
    return not is_end and "_fake" not in op.get_friendly_name()


def _running(model: Any, path: Path) -> Any:
    """The graph that runs here, in float32 where they are not quantised, after all fusing."""
    try:
        # Without the hint float operators run in bfloat16 on processors that have it.
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = core().compile_model(model, "CPU", options)
    except Exception as error:  # the library's exceptions have no common base of their own
        raise EdgekitError(f"OpenVINO cannot load {path}: {error}") from error
    return compiled.get_runtime_model()


def _fact(op: Any, key: str) -> str:
    facts = op.get_rt_info()
    return str(facts[key].astype(str)) if key in facts else ""


def _operator(op: Any, made: dict[str, Any], live: set[str]) -> Operator:
    kind = _fact(op, "layerType")
    heavy = _heavy_parts(kind, _originals(op, made))
    sources = [port.get_source_output() for port in op.inputs()]
    flows = [port for port in (*sources, *op.outputs()) if port.get_node().get_name() in live]
    return Operator(
        name=_name(op, made),
        kind=kind,
        written=heavy[0].get_friendly_name() if heavy else _name(op, made),
        precision=_precision(op, heavy),
        stored=_stored(heavy),
        heavy=bool(heavy) or kind in HEAVY,
        macs=sum(map(graph.macs, heavy)),
        work=_work(heavy[0]) if heavy else None,
        weights=sum(_bytes(p) for p in sources if p.get_node().get_name() not in live),
        moved=sum(map(_bytes, flows)),
    )


def _precision(op: Any, heavy: list[Any]) -> str:
    """Of a running operator's arithmetic; or what the file holds, where this CPU widens it."""
    name = _fact(op, "runtimePrecision")
    precision = PRECISIONS.get(name, name)
    is_half = precision == "float32" and any(_weight_type(part) == "f16" for part in heavy)
    return "float16" if is_half else precision


def _stored(heavy: list[Any]) -> str:
    name = _weight_type(heavy[0]) if heavy else ""
    return PRECISIONS.get(name, name)


def _heavy_parts(kind: str, parts: list[Any]) -> list[Any]:
    """The heavy operators of the file among those that were fused into a running one."""
    heavy = [part for part in parts if graph.is_heavy(part)]
    return heavy or (_heavy_before(parts) if kind in HEAVY else [])


def _heavy_before(parts: list[Any]) -> list[Any]:
    """Of a layer that was fused with its bias, and is named by the bias alone."""
    for op in parts:
        while op.inputs() and not graph.is_heavy(op):
            op = op.input_value(0).get_node()
        if graph.is_heavy(op):
            return [op]
    return []


def _work(op: Any) -> Work:
    """Of a heavy operator of the file."""
    kind, shape = op.get_type_name(), op.input(1).get_shape()
    if kind not in graph.CONVOLUTIONS:
        computed = kind == "ScaledDotProductAttention" or graph.weight(op)[0] is None
        return "product" if computed else "dense"
    if kind.startswith("Group"):  # weights [groups, out, in, height, width]
        return "depthwise" if shape[1] == shape[2] == 1 else "conv"
    return "conv" if graph.size(shape[2:]) > 1 else "dense"


def _bytes(port: Any) -> int:
    """Of a tensor; 0 where its shape is not fixed."""
    extents = port.get_partial_shape()
    return graph.size(extents.to_shape()) * port.get_element_type().size if extents.is_static else 0


def _originals(op: Any, made: dict[str, Any]) -> list[Any]:
    """The operators of the file that were fused into a running one."""
    names = _fact(op, "originalLayersNames").split(",")
    return [made[name] for name in dict.fromkeys(names) if name in made]


def _name(op: Any, made: dict[str, Any]) -> str:
    """Its name in the file: names that the runtime makes up carry a counter of the process."""
    own = str(op.get_friendly_name())
    parts = _originals(op, made)
    known = [name for name in made if own.startswith(f"{name}_")]
    return (
        own if own in made else (parts[0].get_friendly_name() if parts else max(known, default=own))
    )


def _label(op: Any, made: dict[str, Any]) -> str:
    return f"{_fact(op, 'layerType')} {_name(op, made)}"


def _precision_in(op: Any) -> set[str]:
    return {_fact(source, "outputPrecisions").split(",")[0] for source in graph.sources(op)}


def _changes_type(op: Any, made: dict[str, Any]) -> bool:
    """Whether it quantises, dequantises or converts, and nothing else."""
    kind = _fact(op, "layerType")
    if kind == "Subgraph":  # what the runtime compiles into one loop
        return {part.get_type_name() for part in _originals(op, made)} <= CONVERTS
    reorders = kind == "Reorder" and _precision_in(op) != {_fact(op, "outputPrecisions")}
    return kind in CONVERTS or reorders


def _is_at_an_end(op: Any) -> bool:
    """Whether it stands at the input or the output, where a conversion is no waste."""
    before = graph.sources(op)
    while before and all(_fact(each, "layerType") in {"Reorder", "Transpose"} for each in before):
        before = graph.sources(before[0])
    starts = all(_fact(each, "layerType") in {"Input", "Const"} for each in before)
    after = [_fact(reader, "layerType") for reader, _ in graph.consumers(op)]
    return starts or set(after) == {"Output"}


def _weight_type(op: Any) -> str:
    if op.get_type_name() == "ScaledDotProductAttention":
        return ""
    constant, _ = graph.weight(op)
    return str(constant.get_element_type().get_type_name()) if constant else ""


def _is_per_channel(model: Any) -> bool:
    """Whether every int8 weight has one scale for each output channel."""
    found = []
    for op in model.get_ops():
        if graph.is_heavy(op) and _weight_type(op) in {"i8", "u8"}:
            _, way = graph.weight(op)
            steps = [s for s in way if s.get_type_name() in {"Multiply", "FakeQuantize"}]
            scales = [graph.size(port.get_shape()) for s in steps for port in s.inputs()[1:]]
            extents = op.output(0).get_partial_shape()
            outputs = extents[len(extents) - 1 if op.get_type_name() == "MatMul" else 1]
            found.append(max(scales, default=1) > 1 or outputs == 1)
    return bool(found) and all(found)


def port(port: Any) -> Port:
    extents = port.get_partial_shape()
    shape = tuple(d.get_length() if d.is_static else -1 for d in extents)
    dtype = port.get_element_type().to_dtype().name
    return Port(name=port.any_name, shape=shape, dtype=dtype)
