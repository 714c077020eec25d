import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.cycle_model.blocks import parse_counts
from edgekit.errors import DeviceError

ADD, BRANCH = "8b020020", "54ffffe1"
TEXT = f"""accesses 7
cache 1 30 2
cache 2 10 1
block 1000 5 {ADD}{BRANCH}
block 2000 3 {ADD}
end
"""


def test_what_the_plugin_writes() -> None:
    found = parse_counts(TEXT)
    assert found.misses == (30, 10)
    assert found.accesses == 7
    assert found.blocks == {(0x8B020020, 0x54FFFFE1): 5, (0x8B020020,): 3}
    assert found.instructions == 13


def test_a_block_that_was_cut_at_a_page_is_whole_again() -> None:
    cut = f"block ffc 4 {ADD}\nblock 1000 4 {BRANCH}\nblock 1004 4 {ADD}\nend\n"
    found = parse_counts(cut)
    assert found.blocks == {(0x8B020020, 0x54FFFFE1): 4, (0x8B020020,): 4}


@pytest.mark.parametrize(
    "text", ["", "end\n", TEXT.removesuffix("end\n"), TEXT.replace("block 2000", "block x"),
             TEXT.replace(BRANCH, "54ff"), "surprise 1\nend\n"],
)  # fmt: skip
def test_what_is_damaged_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="counting plugin"):
        parse_counts(text)


@given(st.integers(0, len(TEXT)), st.characters(max_codepoint=0x7F))
def test_any_damage_ends_in_words(place: int, character: str) -> None:
    with contextlib.suppress(DeviceError):
        parse_counts(TEXT[:place] + character + TEXT[place + 1 :])
