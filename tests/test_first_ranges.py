"""The table of tests/benchmarks/first_ranges.py."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.first_ranges import told


def row(runtime: str, way: str, agreement: float | None) -> dict[str, Any]:
    found = {"sqnr_db": 20.0, "images": 200, "agreement": agreement, "drop": 0.0, "loses": False}
    return {"arch": "tiny", "runtime": runtime, "way": way, **found, "failure": ""}


def test_a_way_is_counted_where_it_holds() -> None:
    found = [
        row("litert", "minmax", 98.5),
        row("litert", "mse", 98.0),
        row("openvino", "minmax", None),
        row("openvino", "mse", 99.0),
    ]
    assert list(told(found))[2:] == [
        "| minmax | 1 of 1 | 0 of 0 | 0 of 1 | 1 of 2 | 49.2 | 20.0 |",
        "| mse | 0 of 1 | 0 of 0 | 1 of 1 | 1 of 2 | 98.5 | 20.0 |",
    ]
