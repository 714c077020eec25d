"""What is far from the limit is named; what cannot be told is not."""

from __future__ import annotations

import pytest

from edgekit.evaluation.operator_table import OperatorTable, ShippedOperators, table_of
from tests.evaluation.operator_tables import ROOFLINE, sample_table, timed, times_of


def test_the_limit_is_the_longer_of_arithmetic_and_memory() -> None:
    computes, moves = timed("a", 1, macs=10**6, moved=1000), timed("b", 1, macs=1000, moved=10**6)
    assert ROOFLINE.microseconds(computes.operator) == pytest.approx(10)
    assert ROOFLINE.microseconds(moves.operator) == pytest.approx(100)
    in_float = timed("c", 1, moved=4 * 10**6, precision="float32")
    assert ROOFLINE.microseconds(in_float.operator) == pytest.approx(100)
    assert ROOFLINE.microseconds(timed("d", 1).operator) is None


def test_operators_come_by_time_and_the_furthest_by_what_they_lose() -> None:
    fast, near, far = timed("fast", 1, 10**5), timed("near", 90, 8 * 10**6), timed("far", 60, 10**6)
    table = table_of(times_of(fast, near, timed("unknown", 500), far), ROOFLINE, {"far;": 12.3})
    assert [one.name for one in table.operators] == ["unknown", "near", "far", "fast"]
    assert [one.name for one in table.furthest] == ["far", "near"]
    assert [one.times_limit for one in table.operators] == [None, 1.125, 6.0, 1.0]
    assert [one.sqnr_db for one in table.operators] == [None, None, 12.3, None]
    assert sum(one.share for one in table.operators) == pytest.approx(1, abs=1e-3)
    assert str(table) == (
        "9 % of the time lies beyond this machine's int8 limit; most at "
        "far (CONV_2D, 60 µs, 6.0 times its limit), near (CONV_2D, 90 µs, 1.1 times its limit)"
    )
    assert OperatorTable.model_validate_json(table.model_dump_json()) == table


def test_noise_that_fits_no_operator_is_told() -> None:
    table = table_of(times_of(timed("a", 1)), ROOFLINE, {"of another runtime": 30.0})
    assert table.no_noise == "the float file calls its operators otherwise"


def test_without_a_roofline_nothing_is_said_of_the_limit() -> None:
    table = table_of(times_of(timed("a", 1, 10**6)), None, {}, no_roofline="machine too busy")
    assert table.furthest == ()
    assert str(table).endswith("cannot be told: machine too busy")
    whole = ShippedOperators(tables={"litert": sample_table()}, missing={"openvino": "why"})
    assert [line.split(":")[0] for line in whole.lines] == ["litert (host)", "openvino"]
