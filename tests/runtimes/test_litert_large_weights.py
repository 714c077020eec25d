"""Weights that ai-edge-quantizer does not take whole."""

import importlib
from typing import Any

import numpy as np
import pytest

from edgekit.runtimes import _litert_large_weights as large

pytest.importorskip("ai_edge_quantizer")
LIBRARY: Any = importlib.import_module(large.MODULE)
QTYPING: Any = importlib.import_module("ai_edge_quantizer.qtyping")


def convolution(outputs: int, inputs: int) -> tuple[Any, Any]:
    """Weights of 3x3 kernels, and a scale for each output channel."""
    weights = np.random.default_rng(0).normal(size=(outputs, 3, 3, inputs)).astype(np.float32)
    scales = np.abs(weights).max((1, 2, 3)) / 127
    return weights, QTYPING.UniformQuantParams(
        num_bits=8,
        quantized_dimension=0,
        scale=scales,
        zero_point=np.zeros(outputs, np.int32),
        symmetric=True,
    )


def test_some_channels_at_a_time_give_what_all_at_once_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights, parameters = convolution(10, 16)
    whole = LIBRARY.uniform_quantize(weights, parameters)
    monkeypatch.setattr(large, "LIMIT", weights.nbytes // 3)
    with large.large_weights():
        parts = LIBRARY.uniform_quantize(weights, parameters)
    assert parts.dtype == np.int8
    assert np.array_equal(parts, whole)


def test_weights_above_the_limit_are_quantised_within_half_a_step() -> None:
    weights, parameters = convolution(64, 1 + large.LIMIT // (4 * 64 * 9))
    assert weights.nbytes > large.LIMIT
    before = LIBRARY.uniform_quantize
    with large.large_weights():
        codes = LIBRARY.uniform_quantize(weights, parameters)
    steps = parameters.scale.reshape(-1, 1, 1, 1)
    assert np.abs(codes * steps - weights).max() <= 0.501 * steps.max()
    assert LIBRARY.uniform_quantize is before
