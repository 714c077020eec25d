"""The hypervolume is a count of cells."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgekit.model_search.hypervolume import hypervolume


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=6))
def test_the_hypervolume_is_the_count_of_dominated_cells(rows: list[tuple[int, ...]]) -> None:
    cells = itertools.product(range(4), repeat=3)
    count = sum(
        any(all(a <= c for a, c in zip(row, cell, strict=True)) for row in rows) for cell in cells
    )
    assert hypervolume(rows, (4, 4, 4)) == count
