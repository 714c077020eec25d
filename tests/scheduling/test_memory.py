"""A step is expected to take what its like took before."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.scheduling.memory import FILE, MemoryBook
from tests.scheduling.actions import Work, step


def test_the_most_that_was_seen_is_kept_for_the_next_build(tmp_path: Path) -> None:
    one, book = step(Work("train", tmp_path / "log")), MemoryBook(tmp_path)
    assert book.need(one) == one.action.memory
    for size in (100 << 20, 300 << 20, 200 << 20):
        book.saw(one, size)
    book.write()
    assert MemoryBook(tmp_path).need(one) == 300 << 20


@pytest.mark.parametrize("content", ["", "[1]", '{"train": "much"}', '{"train"'])
def test_a_damaged_file_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    one = step(Work("train", tmp_path / "log"))
    assert MemoryBook(tmp_path).need(one) == one.action.memory
