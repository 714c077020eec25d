"""The roofline is that of the best layers, less what feeds them. No time is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine.store import Store
from edgekit.evaluation import host_roofline as roofline
from edgekit.evaluation.timing import Timing
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.microbenchmark import Layer


def taking(seconds: dict[Layer, float], busy: bool = False) -> Any:
    """Layers that take so long beside a millisecond for their frames; of the small ones the first
    run of each round is slow."""

    def time_layers(layers: list[Layer], *_: object) -> Any:
        rounds = {one: np.full((10, 3), 1e-3 + seconds.get(one, 0.0)) for one in layers}
        for one, each in rounds.items():
            if one not in roofline.DENSE:
                each[:, 0] *= 3
            elif busy:
                each[8:] *= 3
        return {one: Timing(0.0, 0.0, each) for one, each in rounds.items()}, {}

    return time_layers


def test_the_best_layer_of_each_kind_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, runtime = Store(tmp_path), find_runtimes()["onnxruntime"]()
    rates = zip(roofline.PROBES, (1e11, 2e11, 5e10, 3e10), strict=True)
    seconds = {one: one.macs / rate for one, rate in rates}  # a linear layer: a byte a product
    monkeypatch.setattr(roofline, "time_layers", taking(seconds, busy=True))
    assert roofline.host_roofline(runtime, store) is None
    monkeypatch.setattr(roofline, "time_layers", taking(seconds))
    found = roofline.host_roofline(runtime, store)
    assert found
    assert found.macs_per_second == pytest.approx(2e11)
    assert found.bytes_per_second == pytest.approx(5e10)
    monkeypatch.setattr(roofline, "time_layers", taking({}))  # no faster than their frames
    assert roofline.host_roofline(runtime, store) == found
    assert roofline.host_roofline(runtime, Store(tmp_path / "other")) is None


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert", "openvino"])
def test_each_runtime_has_int8_kernels_for_the_layers(runtime: str, tmp_path: Path) -> None:
    own = find_runtimes()[runtime]()
    for layer in roofline.PROBES:
        own.single_layer_model(layer, True, tmp_path)
        heavy = [one for one in own.describe(tmp_path / own.file).operators if one.heavy]
        assert [(one.is_integer, one.macs) for one in heavy] == [(True, layer.macs)]
