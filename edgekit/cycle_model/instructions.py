"""AArch64 instruction words by their bits: what kind of work each is, and what it waits for.

No disassembler: a scheduler needs only the kind of an instruction and the registers that tie it to
others. Field names and encodings are those of the Arm Architecture Reference Manual, chapter C4.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from edgekit.cycle_model.vector_instructions import FLAGS, VECTOR, Instruction, bits, vector

ZERO = 31
"""Register 31 is zero or the stack pointer; neither makes an instruction wait here."""
LINK = 30


@cache
def decode(word: int) -> Instruction:
    """What one 32-bit instruction is. What is not known is taken for plain integer arithmetic."""
    group = bits(word, 28, 25)
    if group in (8, 9):
        found = _immediate(word)
    elif group in (10, 11):
        found = _branch(word)
    elif group & 5 == 4:
        found = _memory(word)
    elif group & 7 == 5:
        found = _register(word)
    elif group & 7 == 7:
        found = vector(word)
    else:
        found = Instruction("alu")
    return _without_zero(found)


def _without_zero(found: Instruction) -> Instruction:
    return replace(
        found,
        reads=tuple(r for r in found.reads if r != ZERO),
        writes=tuple(r for r in found.writes if r != ZERO),
    )


def _immediate(word: int) -> Instruction:
    rd, rn, kind = bits(word, 4, 0), bits(word, 9, 5), bits(word, 28, 23)
    opc = bits(word, 30, 29)
    if kind >> 1 == 0b10000:  # ADR
        return Instruction("alu", writes=(rd,))
    if kind >> 1 == 0b10001:  # ADD, SUB
        return Instruction("alu", (rn,), (rd, FLAGS) if opc & 1 else (rd,))
    if kind == 0b100100:  # AND, ORR, EOR, ANDS
        return Instruction("alu", (rn,), (rd, FLAGS) if opc == 3 else (rd,))
    if kind == 0b100101:  # MOVN, MOVZ, MOVK
        return Instruction("alu", (rd,) if opc == 3 else (), (rd,))
    if kind == 0b100110:  # SBFM, BFM, UBFM
        return Instruction("alu", (rn, rd) if opc == 1 else (rn,), (rd,))
    return Instruction("alu", (rn, bits(word, 20, 16)), (rd,))


def _branch(word: int) -> Instruction:
    if word >> 24 == 0x54:  # B.cond
        return Instruction("branch", (FLAGS,))
    if bits(word, 30, 25) in (0x1A, 0x1B):  # CBZ, CBNZ, TBZ, TBNZ
        return Instruction("branch", (bits(word, 4, 0),))
    if bits(word, 30, 26) == 0x05:  # B, BL
        return Instruction("branch", (), (LINK,) if word >> 31 else ())
    if word >> 25 == 0x6B:  # BR, BLR, RET
        return Instruction(
            "branch", (bits(word, 9, 5),), (LINK,) if bits(word, 24, 21) == 1 else ()
        )
    return Instruction("nop")  # hints, barriers, system registers


def _register(word: int) -> Instruction:
    rd, rn, rm = bits(word, 4, 0), bits(word, 9, 5), bits(word, 20, 16)
    group = bits(word, 28, 24)
    if group in (0b01010, 0b01011):
        return _shifted_register(word, group & 1, rd, rn, rm)
    if group == 0b11011:  # MADD, SMADDL, SMULH
        wide = bits(word, 31, 31) and bits(word, 23, 21) in (0, 2, 6)
        return Instruction(
            "multiply64" if wide else "multiply", (rn, rm, bits(word, 14, 10)), (rd,)
        )
    what = bits(word, 23, 21)
    if what == 0b010:  # CCMP, with a register or a constant
        compared = (rn,) if bits(word, 11, 11) else (rn, rm)
        return Instruction("alu", (*compared, FLAGS), (FLAGS,))
    if what in (0b000, 0b100):  # ADC, CSEL
        return Instruction("alu", (rn, rm, FLAGS), (rd,))
    if bits(word, 30, 30):  # RBIT, REV, CLZ
        return Instruction("alu", (rn,), (rd,))
    divides = bits(word, 15, 10) in (2, 3)
    return Instruction("divide" if divides else "alu", (rn, rm), (rd,))


def _shifted_register(word: int, arithmetic: int, rd: int, rn: int, rm: int) -> Instruction:
    flags = bits(word, 29, 29) if arithmetic else bits(word, 30, 29) == 3
    shifted = bits(word, 21, 21) if arithmetic else 0
    kind = "alu_shift" if shifted or bits(word, 15, 10) else "alu"
    return Instruction(kind, (rn, rm), (rd, FLAGS) if flags else (rd,))


def _memory(word: int) -> Instruction:
    if not word >> 31 and bits(word, 29, 25) == 0b00110:
        return _structure(word)
    group = bits(word, 29, 27)
    if group & 3 == 1 and bits(word, 29, 28) == 2:
        return _pair(word)
    if group == 0b111:
        return _single(word)
    rt, rn = bits(word, 4, 0), bits(word, 9, 5)
    if group == 0b011:  # PC-relative
        return Instruction("vload.q", (), (rt + VECTOR,)) if bits(word, 26, 26) else Instruction(
            "load", (), (rt,)
        )  # fmt: skip
    loads = bits(word, 22, 22)  # exclusive, acquire and release
    return Instruction("load", (rn,), (rt,)) if loads else Instruction("store", (rn, rt))


def _access(
    name: str, loads: bool, base: int, data: tuple[int, ...], form: str, index: tuple[int, ...] = ()
) -> Instruction:
    """A load or store; `w` moves the base on, `r` adds a register to it."""
    kind = f"{name}+{form}" if form else name
    reads = (base, *index) if loads else (base, *index, *data)
    return Instruction(kind, reads, data if loads else (), base=base if form == "w" else None)


def _structure(word: int) -> Instruction:
    """LD1 to LD4, LD1R, and single lanes."""
    base, first, rm = bits(word, 9, 5), bits(word, 4, 0), bits(word, 20, 16)
    loads, moved = bool(bits(word, 22, 22)), bool(bits(word, 23, 23))
    verb = "load" if loads else "store"
    index = (rm,) if moved and rm != ZERO else ()
    form = "w" if moved else ""
    if not bits(word, 24, 24):
        count, step = {7: (1, 1), 10: (2, 1), 6: (3, 1), 2: (4, 1), 8: (2, 2), 4: (3, 3)}.get(
            bits(word, 15, 12), (4, 4)
        )
        size = "q" if bits(word, 30, 30) else "d"
        name = f"v{verb}{step}x{count}.{size}"
        data = tuple(VECTOR + (first + i) % 32 for i in range(count))
        return _access(name, loads, base, data, form, index)
    opcode = bits(word, 15, 13)
    count = 1 + bits(word, 21, 21) + 2 * (opcode & 1)
    data = tuple(VECTOR + (first + i) % 32 for i in range(count))
    if opcode >= 6:
        return _access(f"vload_all{count}", True, base, data, form, index)
    found = _access(f"v{verb}_lane{count}", loads, base, data, form, index)
    return replace(found, reads=(*found.reads, *data)) if loads else found


def _pair(word: int) -> Instruction:
    base, rt, rt2 = bits(word, 9, 5), bits(word, 4, 0), bits(word, 14, 10)
    verb = "load" if bits(word, 22, 22) else "store"
    form = "w" if bits(word, 23, 23) else ""
    opc = bits(word, 31, 30)
    if bits(word, 26, 26):
        size = "q" if opc == 2 else "d"
        return _access(
            f"v{verb}_pair.{size}", verb == "load", base, (rt + VECTOR, rt2 + VECTOR), form
        )
    size = "64" if opc == 2 else "32"
    return _access(f"{verb}_pair{size}", verb == "load", base, (rt, rt2), form)


def _single(word: int) -> Instruction:
    base, rt, size, opc = bits(word, 9, 5), bits(word, 4, 0), bits(word, 31, 30), bits(word, 23, 22)
    form = ""
    index: tuple[int, ...] = ()
    if not bits(word, 24, 24):
        mode = bits(word, 11, 10)
        if bits(word, 21, 21) and mode == 2:
            form, index = "r", (bits(word, 20, 16),)
        elif mode in (1, 3):
            form = "w"
    if bits(word, 26, 26):
        verb = "load" if opc & 1 else "store"
        name = f"v{verb}.q" if size == 0 and opc & 2 else f"v{verb}.d"
        return _access(name, verb == "load", base, (rt + VECTOR,), form, index)
    if size == 3 and opc == 2:
        return Instruction("prefetch", (base, *index))
    verb = "load" if opc else "store"
    return _access(verb, verb == "load", base, (rt,), form, index)
