"""Kinds of operators by what they do to values, in the spelling of every runtime, in capitals.

>>> is_clamp("Relu"), is_clamp("RELU_N1_TO_1"), is_clamp("HardSigmoid")
(True, True, False)
"""

from __future__ import annotations

CLAMPS = frozenset({
    "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "CLIP", "CLAMP",
    "MIN", "MAX", "MINIMUM", "MAXIMUM",
})  # fmt: skip
"""Kinds that cut values off, with one computed input, and leave what lies between as it is. A
hard-sigmoid is none: it cuts at -3 and 3, and gives what is left at another scale."""
MOVES = frozenset({
    "RESHAPE", "TRANSPOSE", "FLATTEN", "SQUEEZE", "UNSQUEEZE", "EXPAND_DIMS", "IDENTITY",
    "SLICE", "STRIDED_SLICE", "STRIDEDSLICE", "SPLIT", "SPLIT_V", "VARIADICSPLIT", "GATHER",
    "PAD", "PADV2", "MAXPOOL", "MAX_POOL_2D",
}) | CLAMPS  # fmt: skip
"""Kinds that give values they were given, or constants: codes stay as they are."""
SUMS = frozenset({"ADD", "SUB", "SUBTRACT", "SUM", "ADD_N"})
JOINS = frozenset({"CONCAT", "CONCATENATION", "PACK"})
"""Kinds in which, as in sums, noise adds up as powers."""
DIVISIONS = frozenset({"DIV", "DIVIDE"})


def is_clamp(kind: str) -> bool:
    return kind.upper() in CLAMPS
