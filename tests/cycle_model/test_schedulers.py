"""Blocks made by hand, whose cycles follow from the tables."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.cycle_model import in_order, out_of_order
from edgekit.cycle_model.core_table import in_order_core, out_of_order_core
from edgekit.cycle_model.instructions import decode

FMLA = 0x4E22CC20  # fmla v0.4s, v1.4s, v2.4s
LDR_Q = 0x3DC00040  # ldr q0, [x2]
LDR_X = 0xF9400040  # ldr x0, [x2]
ADD = 0x8B020020  # add x0, x1, x2
NOP = 0xD503201F
B_NE = 0x54FFFFE1

Schedule = Callable[[Sequence[int]], float]


def schedule(core: str) -> Schedule:
    if core == "cortex-a53":
        return lambda words: in_order.block_cycles(in_order_core(core), words)
    return lambda words: out_of_order.block_cycles(out_of_order_core(core), words)


CORES = ["cortex-a53", "cortex-a72", "cortex-a76"]


def sums(count: int) -> list[int]:
    """Independent multiply-accumulates, each into a register of its own."""
    return [FMLA + register for register in range(8, 8 + count)]


@pytest.mark.parametrize(
    ("core", "each"), [("cortex-a53", 1), ("cortex-a72", 1), ("cortex-a76", 0.5)]
)
def test_independent_sums_fill_the_vector_units(core: str, each: float) -> None:
    assert schedule(core)(sums(16)) == pytest.approx(16 * each, rel=0.02)


@pytest.mark.parametrize("core", CORES)
def test_sums_into_one_register_wait_for_each_other(core: str) -> None:
    assert schedule(core)([FMLA] * 4) == pytest.approx(16)


def test_the_a53_issues_two_where_it_may() -> None:
    run = schedule("cortex-a53")
    assert run([ADD, ADD + 3, ADD + 4, ADD + 5]) == pytest.approx(2)
    # A vector load of 128 bits issues alone and holds its unit for two cycles.
    assert run([*sums(4), LDR_Q]) == pytest.approx(6)
    assert run([*sums(4), LDR_X]) == pytest.approx(4)
    assert run([B_NE, B_NE]) == pytest.approx(2)


def test_an_out_of_order_core_loads_beside_its_sums() -> None:
    assert schedule("cortex-a76")([*sums(16), LDR_Q]) == pytest.approx(8, rel=0.02)
    assert schedule("cortex-a72")([NOP] * 9) == pytest.approx(3)


WORDS = st.lists(
    st.sampled_from([FMLA, *sums(8), LDR_Q, LDR_X, ADD, ADD + 3, NOP, B_NE]),
    min_size=1,
    max_size=24,
)


@pytest.mark.parametrize("core", CORES)
@settings(max_examples=40, deadline=None)
@given(words=WORDS)
def test_one_more_instruction_never_takes_fewer_cycles(core: str, words: list[int]) -> None:
    run = schedule(core)
    shorter, longer = run(words), run([*words, NOP])
    assert longer >= shorter * 0.99 - 0.1
    assert shorter >= len(words) / 8


@pytest.mark.parametrize("core", CORES)
def test_every_kind_of_the_tables_is_a_kind_that_is_read(core: str) -> None:
    table = in_order_core(core) if core == "cortex-a53" else out_of_order_core(core)
    for word in (FMLA, LDR_Q, LDR_X, ADD, NOP, B_NE):
        assert decode(word).kind in table.kinds
