import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.cycle_model.blocks import parse_counts, parse_laps
from edgekit.errors import DeviceError

ADD, BRANCH = "8b020020", "54ffffe1"
TEXT = f"""accesses 7
cache 1 30 2
cache 2 10 1
block 0 1000 5 {ADD}{BRANCH}
block 1 2000 3 {ADD}
end
"""
LAPS = f"""lap 113 2 10 5
ran 0 4
ran 2 1
lap 172 7 30 10
ran 1 3
ran 0 1
{TEXT.replace("end", f"block 2 3000 1 {BRANCH}")}end
"""


def test_what_the_plugin_writes() -> None:
    found = parse_counts(TEXT)
    assert found.misses == (30, 10)
    assert found.accesses == 7
    assert found.blocks == {(0x8B020020, 0x54FFFFE1): 5, (0x8B020020,): 3}
    assert found.instructions == 13


def test_a_block_that_was_cut_at_a_page_is_whole_again() -> None:
    cut = f"block 5 ffc 4 {ADD}\nblock 6 1000 4 {BRANCH}\nblock 7 1004 4 {ADD}\nend\n"
    found = parse_counts(cut)
    assert found.blocks == {(0x8B020020, 0x54FFFFE1): 4, (0x8B020020,): 4}
    ran = f"lap 113 0\nran 5 3\nran 6 3\nlap 113 0\nran 7 4\nran 5 1\nran 6 1\n{cut}"
    first, second = (lap.counts.blocks for lap in parse_laps(ran))
    assert first == {(0x8B020020, 0x54FFFFE1): 3}
    assert second == {(0x8B020020, 0x54FFFFE1): 1, (0x8B020020,): 4}


def test_laps_add_up_to_all_that_ran() -> None:
    first, second = parse_laps(LAPS)
    assert (first.call, second.call) == (113, 172)
    assert first.counts.blocks == {(0x8B020020, 0x54FFFFE1): 4, (0x54FFFFE1,): 1}
    assert (first.counts.accesses, first.counts.misses) == (2, (10, 5))
    assert (second.counts.accesses, second.counts.misses) == (5, (20, 5))
    assert first.counts.blocks + second.counts.blocks == parse_counts(LAPS).blocks


@pytest.mark.parametrize(
    "text", [LAPS.replace("ran 2 1", "ran 9 1"), LAPS.replace("lap 172 7 30", "lap 172 7"),
             LAPS.replace("lap 113 2 10 5", "")],
)  # fmt: skip
def test_laps_that_are_damaged_are_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="counting plugin"):
        parse_laps(text)


@pytest.mark.parametrize(
    "text", ["", "end\n", TEXT.removesuffix("end\n"), TEXT.replace("1 2000", "1 x"),
             TEXT.replace(BRANCH, "54ff"), "surprise 1\nend\n"],
)  # fmt: skip
def test_what_is_damaged_is_refused(text: str) -> None:
    with pytest.raises(DeviceError, match="counting plugin"):
        parse_counts(text)


@given(st.integers(0, len(LAPS)), st.characters(max_codepoint=0x7F))
def test_any_damage_ends_in_words(place: int, character: str) -> None:
    damaged = LAPS[:place] + character + LAPS[place + 1 :]
    for parse in (parse_counts, parse_laps):
        with contextlib.suppress(DeviceError):
            parse(damaged)
