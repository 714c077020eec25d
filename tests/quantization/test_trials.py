"""A way that cannot be gone is a result, whatever its library says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import DeviceError, EdgekitError, StorageError
from edgekit.quantization.trials import QuantizationConfig, QuantizationTrials
from edgekit.runtimes.contract.settings import Quantization

LABELS: Any = np.zeros(4, np.int64)
WAY = QuantizationConfig(quantization=Quantization(quantizer="library"))


def workshop(monkeypatch: pytest.MonkeyPatch, error: Exception) -> QuantizationTrials:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(QuantizationTrials, "quantize", fail)
    images: Any = np.zeros((4, 2, 2, 3), np.uint8)
    nothing: Any = None
    return QuantizationTrials(nothing, nothing, nothing, images, images, LABELS, Path(), nothing)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DeviceError("it stops"), "it stops"),
        (ValueError("no scale\nfor p"), "ValueError: no scale"),
        (RuntimeError(), "RuntimeError: no words"),
    ],
)
def test_a_failure_is_a_trial(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = workshop(monkeypatch, error)
    shop.folder = tmp_path
    trial = shop.try_out(WAY)
    assert (trial.failure, trial.sqnr_db, trial.images) == (words, None, 4)


@pytest.mark.parametrize("error", [StorageError("full"), MemoryError()])
def test_what_is_not_the_way_s_fault_ends_the_search(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = workshop(monkeypatch, error)
    shop.folder = tmp_path
    with pytest.raises((EdgekitError, MemoryError)):
        shop.try_out(WAY)
