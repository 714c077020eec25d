"""Where the border between int8 and float crosses the fewest tensors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgekit.runtimes.contract.description import Activation

SOURCE, SINK = 0, 1
UNCUT = 1_000_000
"""Dearer than to convert every tensor of a network."""


def fewest_conversions(
    activations: Iterable[Activation], in_float: set[str], in_int8: set[str]
) -> set[str]:
    """The operators to compute in float so that the fewest tensors are converted.

    It is a minimum cut: what lies on the side of the source is in float. A tensor costs one
    conversion however many operators read it in the other precision. Of equal cuts the one with
    the fewest operators in float is taken.

    Args:
        in_float, in_int8: operators that are so in any case, by their names in `activations`; in
            both, int8 wins. The others are free.

    Returns:
        the names of the operators in float, `in_float` among them.

    A chain whose ends are in float costs no conversion if its middle is in float too:

    >>> made = {"convolution": (), "mean": ("convolution",), "scale": ("mean",), "root": ("scale",)}
    >>> facts = {"layer": "", "kind": "", "has_weights": False}
    >>> tensors = [Activation(name=n, operator=n, inputs=i, **facts) for n, i in made.items()]
    >>> sorted(fewest_conversions(tensors, {"mean", "root"}, {"convolution"}))
    ['mean', 'root', 'scale']
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    tensors = list(activations)
    names = dict.fromkeys(tensor.operator for tensor in tensors)
    vertex = {name: 2 + i for i, name in enumerate(names)}
    edges = _edges(tensors, vertex)
    for name in names:
        if name in in_int8:
            edges[vertex[name], SINK] = UNCUT
        elif name in in_float:
            edges[SOURCE, vertex[name]] = UNCUT
    size = 2 + len(names) + 2 * len(tensors)
    ends = np.array(list(edges), dtype=np.int32).reshape(-1, 2).T
    capacity = np.array(list(edges.values()), dtype=np.int32)
    graph = csr_array((capacity, (ends[0], ends[1])), shape=(size, size))
    left = graph - maximum_flow(graph, SOURCE, SINK).flow
    left.eliminate_zeros()
    reached = {*breadth_first_order(left, SOURCE, return_predecessors=False).tolist()}
    return {name for name in names if vertex[name] in reached}


def _edges(tensors: list[Activation], vertex: dict[str, int]) -> dict[tuple[int, int], int]:
    """Capacities: a tensor that is read has a vertex for each direction in which it may be
    converted, behind those of the operators."""
    readers, found = _readers(tensors), {}
    for i, tensor in enumerate(tensors):
        to_float = 2 + len(vertex) + 2 * i
        to_int8, maker = to_float + 1, vertex[tensor.operator]
        for reader in readers.get(tensor.name, ()):
            found[to_float, maker] = found[maker, to_int8] = 1
            found[vertex[reader], to_float] = found[to_int8, vertex[reader]] = UNCUT
    return found


def connected(activations: Iterable[Activation], operators: set[str]) -> list[set[str]]:
    """The operators, those that pass tensors to each other together."""
    tensors = list(activations)
    readers = _readers(tensors)
    parts: list[set[str]] = []
    for tensor in tensors:
        near = {tensor.operator, *readers.get(tensor.name, ())} & operators
        if tensor.operator not in operators:
            # Two that read the same tensor from elsewhere share no more than its conversion.
            continue
        touching = [part for part in parts if part & near]
        parts = [part for part in parts if not part & near] + [near.union(*touching)]
    return parts


def _readers(tensors: list[Activation]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for tensor in tensors:
        for name in tensor.inputs:
            found.setdefault(name, set()).add(tensor.operator)
    return found
