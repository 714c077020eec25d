"""The page that shows this table to readers."""

from __future__ import annotations

from tests import brought


def test_the_page_shows_every_row() -> None:
    assert brought.PAGE.read_text(encoding="utf-8") == brought.page(), "python -m tests.brought"
