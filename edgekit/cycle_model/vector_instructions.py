"""The vector and floating-point part of AArch64, by its bits."""

from __future__ import annotations

from dataclasses import dataclass

VECTOR = 32
"""Vector registers count from here, general ones from 0."""
FLAGS = 64


@dataclass(frozen=True)
class Instruction:
    """One instruction as a scheduler sees it."""

    kind: str
    """`.q` where it works on 128 bits, `.d` on 64 or fewer; `+w`: moves its base register on, `+r`:
    adds a register to it."""
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    accumulates: int | None = None
    """The register that it adds to, which it needs later than its factors and writes as well."""
    base: int | None = None
    """The address register that it moves on."""


def bits(word: int, high: int, low: int) -> int:
    return word >> low & (1 << high - low + 1) - 1


def vector(word: int) -> Instruction:
    top = bits(word, 28, 28)
    if top and not bits(word, 30, 30):
        return _scalar_float(word)
    q = bits(word, 30, 30) and not top  # the scalar forms are those of 64 bits
    rd, rn, rm = (VECTOR + bits(word, high, high - 4) for high in (4, 9, 20))
    size = ".q" if q else ".d"
    if bits(word, 24, 24):
        if bits(word, 10, 10):
            return _shift(word, size, rd, rn)
        return _by_element(word, size, rd, rn, rm)
    if not bits(word, 21, 21):
        return _copy_or_permute(word, size, rd, rn, rm)
    if bits(word, 10, 10):
        return _three_same(bits(word, 15, 11), bits(word, 29, 29), word, size, rd, rn, rm)
    if not bits(word, 11, 11):
        return _three_different(word, rd, rn, rm)
    return _two_registers(word, size, rd, rn)


def _adds(kind: str, rd: int, *reads: int) -> Instruction:
    return Instruction(kind, reads, (rd,), accumulates=rd)


FLOAT_SAME = {0x19: "fmla", 0x1B: "fmul", 0x1A: "fadd", 0x1F: "fmul"}
INTEGER_SAME = {0x12: "mla", 0x13: "mul", 0x16: "mul", 0x0F: "absdiff_add"}
SHIFTS_BY_REGISTER = range(0x08, 0x0C)


def _three_same(
    opcode: int, u: int, word: int, size: str, rd: int, rn: int, rm: int
) -> Instruction:
    if opcode == 0x1F and u:
        return Instruction("fdiv" + size, (rn, rm), (rd,))
    if opcode == 0x03 and u and bits(word, 23, 22):  # BSL, BIT, BIF
        return Instruction("logic" + size, (rn, rm, rd), (rd,))
    kind = {**FLOAT_SAME, **INTEGER_SAME}.get(opcode)
    if kind in ("fmla", "mla", "absdiff_add"):
        return _adds(kind + size, rd, rn, rm)
    if kind:
        return Instruction(kind + size, (rn, rm), (rd,))
    if opcode >= 0x18:
        return Instruction("fcompare" + size, (rn, rm), (rd,))
    if opcode in SHIFTS_BY_REGISTER:
        return Instruction("shift_register" + size, (rn, rm), (rd,))
    return Instruction(("logic" if opcode == 3 else "add") + size, (rn, rm), (rd,))


def _three_different(word: int, rd: int, rn: int, rm: int) -> Instruction:
    """Their results are twice as wide as what they read."""
    opcode = bits(word, 15, 12)
    if opcode in (8, 9, 10, 11):
        return _adds("mlal.q", rd, rn, rm)
    if opcode in (12, 13, 14):
        return Instruction("mull.q", (rn, rm), (rd,))
    if opcode == 5:
        return _adds("absdiff_add.q", rd, rn, rm)
    return Instruction("add.q", (rn, rm), (rd,))


CONVERSIONS = {0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D}


def _two_registers(word: int, size: str, rd: int, rn: int) -> Instruction:
    opcode, u = bits(word, 16, 12), bits(word, 29, 29)
    if bits(word, 20, 17) == 8:
        return Instruction("across" + size, (rn,), (rd,))
    if opcode in (0x12, 0x14):  # XTN, SQXTN: the second half keeps the first
        return Instruction("narrow", (rn, rd) if size == ".q" else (rn,), (rd,))
    if opcode == 0x06:
        return _adds("pair_add" + size, rd, rn)
    if opcode == 0x1F and u:
        return Instruction("fsqrt" + size, (rn,), (rd,))
    if opcode in CONVERSIONS:
        return Instruction("convert" + size, (rn,), (rd,))
    return Instruction("logic" + size, (rn,), (rd,))


def _by_element(word: int, size: str, rd: int, rn: int, rm: int) -> Instruction:
    opcode, u, width = bits(word, 15, 12), bits(word, 29, 29), bits(word, 23, 22)
    if width in (0, 1):  # the register has four bits, the index takes the fifth
        rm = VECTOR + bits(word, 19, 16)
    if opcode in (14, 15):
        rm = VECTOR + bits(word, 20, 16)
        return _adds("dot" + size, rd, rn, rm)
    if opcode in (2, 3, 6, 7):
        return _adds("mlal.q", rd, rn, rm)
    if opcode in (10, 11):
        return Instruction("mull.q", (rn, rm), (rd,))
    if u == 0 and opcode in (0, 1, 4, 5):
        return _adds("fmla" + size, rd, rn, rm)
    if opcode == 9:
        return Instruction("fmul" + size, (rn, rm), (rd,))
    if opcode in (0, 4) or (opcode == 13 and u):
        return _adds("mla" + size, rd, rn, rm)
    return Instruction("mul" + size, (rn, rm), (rd,))


def _shift(word: int, size: str, rd: int, rn: int) -> Instruction:
    if not bits(word, 22, 19):  # MOVI, FMOV; ORR and BIC change what is there
        keeps = bits(word, 12, 12) and bits(word, 15, 12) < 12
        return Instruction("move_immediate", (rd,) if keeps else (), (rd,))
    opcode = bits(word, 15, 11)
    if opcode in (0x02, 0x06):
        return _adds("shift_add" + size, rd, rn)
    if opcode in (0x10, 0x11, 0x12, 0x13):
        return Instruction("narrow", (rn, rd) if size == ".q" else (rn,), (rd,))
    if opcode in (0x1C, 0x1F):
        return Instruction("convert" + size, (rn,), (rd,))
    return Instruction("shift.q" if opcode == 0x14 else "shift" + size, (rn,), (rd,))


HALF_SAME = {1: "fmla", 2: "fadd", 3: "fmul"}


def _copy_or_permute(word: int, size: str, rd: int, rn: int, rm: int) -> Instruction:
    if bits(word, 10, 10):
        if bits(word, 15, 15):
            opcode = bits(word, 14, 11)
            return _adds(("mla" if opcode < 2 else "dot") + size, rd, rn, rm)
        if bits(word, 22, 21) == 2 and not bits(word, 15, 14):
            return _half_floats(word, size, rd, rn, rm)
        if bits(word, 23, 21) == 0:
            return _copy(word, size, rd, rn)
    if bits(word, 11, 10) == 0 and not bits(word, 29, 29):  # TBL, TBX
        tables = tuple(
            VECTOR + (rn - VECTOR + i) % 32 for i in range(bits(word, 14, 13) + 1)
        )  # fmt: skip
        extended = (rd,) if bits(word, 12, 12) else ()
        return Instruction(f"table{len(tables)}{size}", (*tables, rm, *extended), (rd,))
    return Instruction("permute" + size, (rn, rm), (rd,))


def _half_floats(word: int, size: str, rd: int, rn: int, rm: int) -> Instruction:
    opcode = bits(word, 13, 11)
    if opcode == 7:
        return Instruction(("fdiv" if bits(word, 29, 29) else "fmul") + size, (rn, rm), (rd,))
    kind = HALF_SAME.get(opcode, "fcompare")
    if kind == "fmla":
        return _adds(kind + size, rd, rn, rm)
    return Instruction(kind + size, (rn, rm), (rd,))


def _copy(word: int, size: str, rd: int, rn: int) -> Instruction:
    general, which = rn - VECTOR, bits(word, 14, 11)
    if bits(word, 29, 29):
        return Instruction("insert", (rn, rd), (rd,))
    if which == 1:
        return Instruction("from_general", (general,), (rd,))
    if which == 3:
        return Instruction("insert_general", (general, rd), (rd,))
    if which in (5, 7):
        return Instruction("to_general", (rn,), (rd - VECTOR,))
    return Instruction("permute" + size, (rn,), (rd,))


def _scalar_float(word: int) -> Instruction:
    rd, rn, rm = (VECTOR + bits(word, high, high - 4) for high in (4, 9, 20))
    if bits(word, 24, 24):  # FMADD
        return Instruction("fmla.d", (rn, rm, VECTOR + bits(word, 14, 10)), (rd,))
    if not bits(word, 21, 21) or bits(word, 15, 10) == 0:
        return _to_or_from_general(word, rd, rn)
    what = bits(word, 11, 10)
    if what == 2:
        kind = {0: "fmul", 8: "fmul", 1: "fdiv", 2: "fadd", 3: "fadd"}.get(bits(word, 15, 12))
        return Instruction((kind or "fcompare") + ".d", (rn, rm), (rd,))
    if what == 3:
        return Instruction("fcompare.d", (rn, rm, FLAGS), (rd,))
    if what == 1:
        return Instruction("fcompare.d", (rn, rm, FLAGS), (FLAGS,))
    return _of_one_float(word, rd, rn, rm)


def _of_one_float(word: int, rd: int, rn: int, rm: int) -> Instruction:
    if bits(word, 12, 10) == 4:
        return Instruction("move_immediate", (), (rd,))
    if bits(word, 13, 10) == 8:
        return Instruction("fcompare.d", (rn, rm), (FLAGS,))
    opcode = bits(word, 20, 15)
    kind = "fsqrt.d" if opcode == 3 else "logic.d" if opcode < 3 else "convert.d"
    return Instruction(kind, (rn,), (rd,))


def _to_or_from_general(word: int, rd: int, rn: int) -> Instruction:
    opcode = bits(word, 18, 16)
    if opcode in (2, 3, 7):
        kind = "from_general" if opcode == 7 else "convert_from_general"
        return Instruction(kind, (rn - VECTOR,), (rd,))
    kind = "to_general" if opcode == 6 else "convert_to_general"
    return Instruction(kind, (rn,), (rd - VECTOR,))
