"""Boards that were calibrated, beside what was counted for their core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.cycle_model.file_estimate import CycleEstimate
from edgekit.devices.estimate.calibrate import calibration_path
from edgekit.devices.estimate.calibrated import CalibratedBoards
from edgekit.devices.estimate.cycle_scale import CycleScale
from edgekit.devices.estimate.latency_model import LatencyModel
from edgekit.evidence import Evidence, Measurement
from tests.devices.estimate.test_cycle_scale import model

SCALE = CycleScale(value=1.2, low=1.1, high=1.4, probes=5)


def counted(milliseconds: float) -> CycleEstimate:
    latency = Measurement(value=milliseconds, unit="ms", evidence=Evidence.ESTIMATED, method="m")
    fields: Any = {"latency": latency}
    return CycleEstimate.model_construct(**fields)


def keep(name: str, found: LatencyModel, scale: CycleScale | None) -> None:
    fits = tuple(fit.model_copy(update={"cycle_scale": scale}) for fit in found.fits)
    kept = found.model_copy(update={"device": name, "fits": fits})
    calibration_path(name).write_text(kept.model_dump_json(), encoding="utf-8")


def test_each_board_of_the_core_has_its_own_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    said: list[str] = []
    assert CalibratedBoards.of_core("cortex-a72", said.append).models == ()
    calibration_path("x").parent.mkdir()
    keep("pi4", model("cortex-a72", 1), SCALE)
    keep("unscaled", model("cortex-a72", 1), None)
    keep("threaded", model("cortex-a72", 4), SCALE)
    keep("pi5", model("cortex-a76", 1), SCALE)
    calibration_path("torn").write_text("{", encoding="utf-8")
    boards = CalibratedBoards.of_core("cortex-a72", said.append)
    (line,) = said
    assert "torn" in line
    found = boards.scaled(counted(20.0), "onnxruntime", "float32")
    assert found.keys() == {"pi4"}
    assert (found["pi4"].value, found["pi4"].low, found["pi4"].high) == (24.0, 22.0, 28.0)
    assert boards.scaled(counted(20.0), "onnxruntime", "int8") == {}
    assert boards.scaled(counted(20.0), "litert", "float32") == {}
