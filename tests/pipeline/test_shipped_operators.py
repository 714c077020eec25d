"""The operators of what ships are timed once, and not on a busy machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekit.engine.store import Store
from edgekit.evaluation.metrics import BUSY
from edgekit.evaluation.operator_table import ShippedOperators
from edgekit.evidence import Evidence
from edgekit.pipeline import shipped_operators
from edgekit.pipeline.run import RowResult, TargetResult
from edgekit.pipeline.shipped_operators import operators_of
from tests.build_folder.samples import figure, row
from tests.devices.tiny import write_model
from tests.evaluation.operator_tables import ROOFLINE, timed, times_of


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RowResult:
    """A float file that was measured on a quiet machine."""
    monkeypatch.setattr(shipped_operators, "host_roofline", lambda *_: ROOFLINE)
    path = write_model(tmp_path / "model.onnx")
    artifact = SimpleNamespace(
        digest="d" * 64,
        verify=lambda: None,
        file=lambda name: path,
        described_by=lambda kind: SimpleNamespace(quantization=None),
    )
    validation = row("onnxruntime", "export").validation
    found = SimpleNamespace(
        row=SimpleNamespace(runtime="onnxruntime"), artifact=artifact, validation=validation
    )
    return cast("RowResult", found)


def told(result: RowResult, folder: Path, faults: tuple[str, ...] = ()) -> ShippedOperators | None:
    target = SimpleNamespace(faults=faults, shipped={"onnxruntime": result})
    store = Store(folder / "store")
    return operators_of(cast("TargetResult", target), folder, store, lambda _: None)


def stopped(*_: object) -> Any:
    raise AssertionError("it was timed already")


def test_a_file_is_timed_once(
    shipped: RowResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = told(shipped, tmp_path)
    assert found
    table = found.tables["onnxruntime"]
    assert table.operators
    assert table.roofline == ROOFLINE
    assert table.no_noise == "it is a float file"
    monkeypatch.setattr(shipped_operators, "call_confined", stopped)
    assert told(shipped, tmp_path) == found


def test_where_nothing_ships_nothing_is_timed(shipped: RowResult, tmp_path: Path) -> None:
    assert told(shipped, tmp_path, faults=("a gate",)) is None


@pytest.mark.parametrize(
    ("latency", "reason"),
    [
        ({"disturbed": True}, BUSY),
        (
            {"median": figure(1.0, "ms").model_copy(update={"evidence": Evidence.MEASURED})},
            "it was timed on the target's own device, whose operators are not timed",
        ),
    ],
)
def test_what_would_be_no_figure_is_a_reason(
    shipped: RowResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    latency: dict[str, Any],
    reason: str,
) -> None:
    monkeypatch.setattr(shipped_operators, "call_confined", stopped)
    update = {"latency": shipped.validation.latency.model_copy(update=latency)}
    shipped.validation = shipped.validation.model_copy(update=update)
    assert told(shipped, tmp_path) == ShippedOperators(missing={"onnxruntime": reason})


def test_a_runtime_may_time_no_operators(
    shipped: RowResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"onnxruntime": lambda: SimpleNamespace(name="untimed")}
    monkeypatch.setattr(shipped_operators, "find_runtimes", lambda: found)
    missing = {"onnxruntime": "untimed does not time its operators"}
    assert told(shipped, tmp_path) == ShippedOperators(missing=missing)


def test_disturbed_times_are_measured_again_and_never_kept(
    shipped: RowResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def busy(*_: object) -> Any:
        tries.append(1)
        return times_of(timed("a", 1)).model_copy(update={"inferences": (1.0,) * 8 + (3.0,) * 2})

    monkeypatch.setattr(shipped_operators, "call_confined", busy)
    assert told(shipped, tmp_path) == ShippedOperators(missing={"onnxruntime": BUSY})
    assert len(tries) == 3
    assert not (tmp_path / "store/operators").exists()


def test_a_table_whose_noise_could_not_be_told_is_not_kept(
    shipped: RowResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped_operators, "_noise", lambda *_: ({}, "onnx is not installed"))
    assert told(shipped, tmp_path)
    assert not list((tmp_path / "store").glob("operators/*"))
