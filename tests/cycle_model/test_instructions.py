"""Words as LLVM's disassembler names them, against the kinds and registers that are read here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.cycle_model.instructions import decode
from edgekit.cycle_model.kinds import class_of
from edgekit.cycle_model.vector_instructions import FLAGS

X, V = 0, 32


@pytest.mark.parametrize(
    ("word", "text", "kind", "reads", "writes"),
    [
        (0x4E27CCC3, "fmla v3.4s, v6.4s, v7.4s", "fmla.q", (V + 6, V + 7), (V + 3,)),
        (0x0E3EF442, "fmax v2.2s, v2.2s, v30.2s", "fcompare.d", (V + 2, V + 30), (V + 2,)),
        (0x4F80E090, "sdot v16.4s, v4.16b, v0.4b[0]", "dot.q", (V + 4, V), (V + 16,)),
        (0x0E268102, "smlal v2.8h, v8.8b, v6.8b", "mlal.q", (V + 8, V + 6), (V + 2,)),
        (0x4E606850, "sadalp v16.4s, v2.8h", "pair_add.q", (V + 2,), (V + 16,)),
        (0x0E6148C6, "sqxtn v6.4h, v6.4s", "narrow", (V + 6,), (V + 6,)),
        (0x0F08A484, "sshll v4.8h, v4.8b, #0", "shift.q", (V + 4,), (V + 4,)),
        (0x4E21D863, "scvtf v3.4s, v3.4s", "convert.q", (V + 3,), (V + 3,)),
        (0x4E081E24, "mov v4.d[0], x17", "insert_general", (17, V + 4), (V + 4,)),
        (0x4E010C20, "dup v0.16b, w1", "from_general", (1,), (V,)),
        (0x9E66038A, "fmov x10, d28", "to_general", (V + 28,), (10,)),
        (0x4F000412, "movi v18.4s, #0", "move_immediate", (), (V + 18,)),
        (0xAD401EC4, "ldp q4, q7, [x22]", "vload_pair.q", (22,), (V + 4, V + 7)),
        (0xACC144B0, "ldp q16, q17, [x5], #32", "vload_pair.q+w", (5,), (V + 16, V + 17)),
        (0x3CB56883, "str q3, [x4, x21]", "vstore.q+r", (4, 21, V + 3), ()),
        (0x0CDF7A73, "ld1 {v19.2s}, [x19], #8", "vload1x1.d+w", (19,), (V + 19,)),
        (0x4D409128, "ld1 {v8.s}[3], [x9]", "vload_lane1", (9, V + 8), (V + 8,)),
        (0xF8757900, "ldr x0, [x8, x21, lsl #3]", "load+r", (8, 21), (0,)),
        (0xA9442FEA, "ldp x10, x11, [sp, #64]", "load_pair64", (), (10, 11)),
        (0xF81B0FF4, "str x20, [sp, #-80]!", "store+w", (20,), ()),
        (0xF98080A0, "prfm pldl1keep, [x5, #256]", "prefetch", (5,), ()),
        (0x910200A5, "add x5, x5, #128", "alu", (5,), (5,)),
        (0x8B0E09AD, "add x13, x13, x14, lsl #2", "alu_shift", (13, 14), (13,)),
        (0x9B1866A6, "madd x6, x21, x24, x25", "multiply64", (21, 24, 25), (6,)),
        (0x9B2A7308, "smaddl x8, w24, w10, x28", "multiply", (24, 10, 28), (8,)),
        (0x9AC80849, "udiv x9, x2, x8", "divide", (2, 8), (9,)),
        (0x54FFF382, "b.hs #-400", "branch", (FLAGS,), ()),
        (0xFA410000, "ccmp x0, x1, #0, eq", "alu", (0, 1, FLAGS), (FLAGS,)),
        (0xD503201F, "nop", "nop", (), ()),
    ],
)
def test_known_words(
    word: int, text: str, kind: str, reads: tuple[int, ...], writes: tuple[int, ...]
) -> None:
    found = decode(word)
    assert (found.kind, found.reads, found.writes) == (kind, reads, writes), text


@pytest.mark.parametrize("word", [0x4E27CCC3, 0x4F80E090, 0x0E268102, 0x4E606850])
def test_sums_say_what_they_add_to(word: int) -> None:
    assert decode(word).accumulates == decode(word).writes[0]
    assert decode(word).accumulates not in decode(word).reads


def test_a_moved_base_is_known() -> None:
    assert decode(0xACC144B0).base == 5
    assert decode(0xAD401EC4).base is None


@given(st.integers(0, 2**32 - 1))
def test_any_word_is_something(word: int) -> None:
    found = decode(word)
    assert class_of(found.kind)
    assert all(0 <= register <= FLAGS for register in (*found.reads, *found.writes))
