"""Convolution weights above 32 MiB, at which ai-edge-quantizer 0.10 stops.

It reshapes them to two dimensions, and not their scales. Quantised some channels at a time, they
stay below that size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.runtimes._litert_tools import need

LIMIT = 32 << 20
"""Bytes of float32 above which the library goes another way."""
MODULE = "ai_edge_quantizer.algorithms.uniform_quantize.uniform_quantize_tensor"


@contextmanager
def large_weights() -> Iterator[None]:
    """Let the library quantise them, as long as this lasts."""
    module = need(MODULE)
    original = module.uniform_quantize
    module.uniform_quantize = partial(by_channels, original)
    try:
        yield
    finally:
        module.uniform_quantize = original


def by_channels(
    quantize: Callable[..., NDArray[np.int8]],
    weights: NDArray[np.float32],
    parameters: Any,
    blockwise: bool = False,
) -> NDArray[np.int8]:
    """What `quantize` makes of weights, some channels at a time where they are large.

    Args:
        parameters: the library's `UniformQuantParams`; the scales flat, or of the weights' rank.
    """
    axis = parameters.quantized_dimension
    if blockwise or axis is None or weights.ndim < 3 or weights.nbytes <= LIMIT:
        return quantize(weights, parameters, blockwise)
    count = min(math.ceil(weights.nbytes / LIMIT), weights.shape[axis])

    def parts(values: Any) -> list[NDArray[Any]]:
        return np.array_split(values, count, axis if values.ndim > 1 else 0)

    made = [
        quantize(part, dataclasses.replace(parameters, scale=scale, zero_point=zero_point), False)
        for part, scale, zero_point in zip(
            parts(weights), parts(parameters.scale), parts(parameters.zero_point), strict=True
        )
    ]
    return np.concatenate(made, axis)
