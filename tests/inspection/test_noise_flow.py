"""Where the noise of a graph's end arose, on graphs that are written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.inspection.noise_flow import NoiseFlow, ratio
from edgekit.inspection.tensor_stats import TensorStats
from edgekit.runtimes.contract.description import Activation

RNG = np.random.default_rng(0)
SIGNAL = RNG.normal(size=(4, 8, 8, 2)).astype(np.float32)


def made(name: str, kind: str, *inputs: str, **more: Any) -> Activation:
    operator = "" if kind == "input" else f"op_{name}"
    words = {"name": name, "operator": operator, "layer": name, "kind": kind, "inputs": inputs}
    return Activation(**{"has_weights": False, **words, **more})


def noisy(activation: Activation, noise_db: float, signal: Any = SIGNAL) -> TensorStats:
    """What is kept of a tensor with so much signal over noise; of its own, where it has codes."""
    tally = TensorStats(activation, channel_axis=3)
    noise = RNG.normal(size=signal.shape) * np.std(signal) * 10 ** (-noise_db / 20)
    for one, other in zip(signal, signal + noise, strict=True):
        tally.add(one[None], other[None].astype(np.float32))
    return tally


def flow(*tensors: tuple[Activation, float], **weights: float) -> NoiseFlow:
    activations = {activation.name: activation for activation, _ in tensors}
    return NoiseFlow(activations, {a.name: noisy(a, db) for a, db in tensors}, weights)


def arose(found: NoiseFlow) -> dict[str, float]:
    passed = found.share_through()
    return {
        name: passed[name] * (share.own + share.weights) / share.total
        for name, share in found.shares.items()
    }


def test_noise_that_is_handed_on_arose_where_it_came_in() -> None:
    found = flow(
        (made("x", "input"), 20), (made("y", "Relu", "x"), 20), (made("z", "Mul", "y"), 20)
    )
    shares = arose(found)
    assert shares["x"] == pytest.approx(1, abs=1e-6)
    assert sum(shares.values()) == pytest.approx(1)


def test_a_layer_answers_for_what_it_adds_beyond_its_gain() -> None:
    layer = made("y", "Conv", "x", has_weights=True)
    shares = arose(flow((made("x", "input"), 30), (layer, 10)))
    assert shares["y"] == pytest.approx(0.98, abs=0.01)


def test_an_operator_without_weights_amplifies_the_noise_of_its_inputs() -> None:
    shares = arose(flow((made("x", "input"), 30), (made("y", "Div", "x"), 10)))
    assert shares["x"] == pytest.approx(1)


def test_what_a_tensors_own_codes_explain_arose_there() -> None:
    coded = made("y", "Mul", "x", low=-1000.0, high=1000.0, step=2000 / 255)
    found = flow((made("x", "input"), 40), (coded, 0))
    # Every value rounds to one code: the noise is as large as the signal.
    assert arose(found)["y"] > 0.99


def test_a_sum_takes_noise_by_its_power_and_a_product_by_its_ratio() -> None:
    x, y = made("x", "input"), made("y", "input")
    for kind, share in (("Add", 0.99), ("Mul", 0.5)):
        z = made("z", kind, "x", "y")
        large, small = SIGNAL * 10, SIGNAL
        found = NoiseFlow(
            {"x": x, "y": y, "z": z},
            {"x": noisy(x, 20, large), "y": noisy(y, 20, small), "z": noisy(z, 20, large)},
            {},
        )
        assert arose(found)["x"] == pytest.approx(share, abs=0.02)


def test_tensors_that_were_fused_away_are_seen_through() -> None:
    x, conv = made("x", "input"), made("c", "Conv", "x", has_weights=True)
    relu = made("y", "Relu", "c")
    found = NoiseFlow(
        {"x": x, "c": conv, "y": relu}, {"x": noisy(x, 40), "y": noisy(relu, 20)}, {"op_c": 0.01}
    )
    assert found.makers["y"].sources == ("x",)
    assert found.makers["y"].weights == 0.01
    assert arose(found)["y"] > 0.9


def test_codes_that_only_move_were_rounded_before() -> None:
    grid = {"low": -4.0, "high": 4.0, "step": 8 / 255}
    x, y = made("x", "Conv", **grid), made("y", "Reshape", "x", **grid)
    shares = arose(flow((x, 35), (y, 35)))
    assert shares["x"] == pytest.approx(1)


def test_the_same_weights_in_two_files() -> None:
    weights = RNG.normal(size=(4, 3)).astype(np.float32)
    assert ratio(weights, weights) == 0
    assert ratio(weights, weights * np.float32(1.1)) == pytest.approx(0.01, rel=1e-3)
    assert ratio(weights, weights.T) == 0


@pytest.mark.parametrize("kind", ["RELU6", "RELU_N1_TO_1", "MINIMUM", "Max"])
def test_a_clamp_in_any_spelling_hands_on_the_codes_it_was_given(kind: str) -> None:
    grid = {"low": -4.0, "high": 4.0, "step": 8 / 255}
    before, behind = made("x", "Conv", "w", **grid), made("y", kind, "x", **grid)
    found = flow((made("w", "input"), 60), (before, 40), (behind, 40))
    assert found.shares["y"].own == 0
