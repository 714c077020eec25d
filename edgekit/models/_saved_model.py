"""Take in a SavedModel: a program, of which every operator is read before any of it runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.errors import WeightsError
from edgekit.models._tensorflow_operators import ALLOWED
from edgekit.models.source import SAVED_MODEL

SAVING = frozenset({"SaveV2", "MergeV2Checkpoints"})
"""In a function of every SavedModel that saves it again, for which we have no use."""


def keep(source: Path, into: Path) -> None:
    """Write the SavedModel in a folder to another: what it computes and its variables, without
    assets, without the functions that save it, and without whatever else lies there.

    It is written from what was parsed, so that TensorFlow reads what was looked at.

    Raises:
        WeightsError: it is no SavedModel, or holds operators that are not on the list.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        model = saved_model_pb2.SavedModel.FromString((source / SAVED_MODEL).read_bytes())
    except Exception as error:  # protobuf's own, which has no public base
        raise WeightsError(f"model.weights: {source} is not a SavedModel: {error}") from error
    if not model.meta_graphs:  # the parser takes anything short for an empty message
        raise WeightsError(f"model.weights: {source} is not a SavedModel: it holds no graph")
    refused: set[str] = set()
    for graph in model.meta_graphs:
        refused |= _drop_saving(graph)
        refused |= set(_unknown(graph))
    if refused:
        raise WeightsError(
            f"model.weights: {source} holds operators that no classifier needs: "
            f"{', '.join(sorted(refused))}",
            hint="they could read or write files or run code: export the model without them, from "
            "Keras (model.export) or to ONNX",
        )
    (into / "variables").mkdir(parents=True)
    (into / SAVED_MODEL).write_bytes(model.SerializeToString(deterministic=True))
    for path in sorted(source.glob("variables/variables.*")):
        shutil.copyfile(path, into / "variables" / path.name)


def _unknown(graph: Any) -> Iterator[str]:
    """Operators that are not on the list, and functions that could stand for one."""
    from tensorflow.python.framework import op_def_registry

    functions = {function.signature.name for function in graph.graph_def.library.function}
    yield from (name for name in functions if op_def_registry.get(name))
    yield from _named_by(graph.graph_def.node) - functions - ALLOWED
    for function in graph.graph_def.library.function:
        found = _named_by(function.node_def) | set(_functions_in(function.attr))
        for argument in function.arg_attr.values():
            found |= set(_functions_in(argument.attr))
        yield from found - functions - ALLOWED


def _drop_saving(graph: Any) -> set[str]:
    """Take out the functions that save the model, with the nodes that call them.

    Returns:
        the operators of these functions if the model itself needs them; they stay then.
    """
    functions, nodes = graph.graph_def.library.function, graph.graph_def.node
    saving = SAVING | _saving_functions(functions)
    dropped = _nodes_behind(nodes, saving)
    if _outputs(graph) & dropped or set(graph.object_graph_def.concrete_functions) & saving:
        everywhere = (nodes, *(function.node_def for function in functions))
        return {node.op for part in everywhere for node in part if node.op in SAVING}
    _retain(functions, lambda function: function.signature.name not in saving)
    _retain(nodes, lambda node: node.name not in dropped)
    return set()


def _saving_functions(functions: Any) -> set[str]:
    """The functions that save, or call one that does."""
    saving: set[str] = set()
    while more := {
        function.signature.name
        for function in functions
        if function.signature.name not in saving
        and _named_by(function.node_def) & (SAVING | saving)
    }:
        saving |= more
    return saving


def _nodes_behind(nodes: Any, operators: frozenset[str]) -> set[str]:
    """The nodes that are or call one of these operators, and those that read their results."""
    found: set[str] = set()
    while more := {
        node.name
        for node in nodes
        if node.name not in found
        and (_named_by([node]) & operators or {_source(name) for name in node.input} & found)
    }:
        found |= more
    return found


def _outputs(graph: Any) -> set[str]:
    """The nodes whose results the model gives."""
    return {
        _source(tensor.name)
        for signature in graph.signature_def.values()
        for tensor in signature.outputs.values()
    }


def _retain(messages: Any, wanted: Any) -> None:
    for i in reversed(range(len(messages))):
        if not wanted(messages[i]):
            del messages[i]


def _source(tensor: str) -> str:
    """The node that a tensor, or an order of control, comes from."""
    return tensor.lstrip("^").partition(":")[0]


def _named_by(nodes: Iterable[Any]) -> set[str]:
    """The operators and functions that nodes are or call."""
    found: set[str] = set()
    for node in nodes:
        found |= {node.op, *_functions_in(node.attr)}
    return found


def _functions_in(attributes: Mapping[str, Any]) -> Iterator[str]:
    for value in attributes.values():
        for function in (value.func, *value.list.func):
            if function.name:
                yield function.name
                yield from _functions_in(function.attr)
