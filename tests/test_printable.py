from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgekit.printable import first_few, one_line, printable, shortened


@given(st.text(alphabet=st.characters(codec=None)))
def test_what_is_printable_can_be_written_and_steers_nothing(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert all(c in "\n\t" or c.isprintable() or ord(c) > 0x9F for c in shown)
    assert printable(shown) == shown
    assert "\n" not in one_line(text)


def test_living_scripts_stay_as_they_are() -> None:
    for text in ("fünf", "猫", "किताब", "👩‍🚀", "עברית"):
        assert printable(text) == text


def test_long_text_keeps_its_ends() -> None:
    assert shortened("a" * 500 + "z", 20) == "a" * 10 + "…" + "a" * 9 + "z"
    assert first_few("abc", 2) == ["a", "b", "and 1 more"]
    assert first_few("ab", 2) == ["a", "b"]
