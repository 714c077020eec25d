"""XNNPACK's operators get the file's names where it is clear which they are."""

from __future__ import annotations

from collections import Counter

from edgekit.cycle_model.blocks import Counts
from edgekit.cycle_model.operator_names import as_in_file
from edgekit.cycle_model.profiled import Profiled
from edgekit.runtimes.contract.description import Operator


def part(name: str) -> Profiled:
    return Profiled(name, name, Counts(Counter(), 0, (0,)))


def operator(name: str, kind: str, heavy: bool = False) -> Operator:
    return Operator(name=name, kind=kind, precision="int8", heavy=heavy)


RUN = [
    part("Convolution (NHWC, QC8) IGEMM"), part("Add (ND)"), part("Fully Connected (NC) GEMM"),
    part("Copy (NC)"),
]  # fmt: skip


def test_in_the_files_order_where_there_are_equally_many() -> None:
    file = [
        operator("pad", "PAD"), operator("stem", "CONV_2D", heavy=True), operator("sum", "ADD"),
        operator("point", "CONV_2D", heavy=True),
    ]  # fmt: skip
    found = as_in_file(RUN, file)
    assert [one.name for one in found] == ["stem", "sum", "point", "Copy (NC)"]
    assert [one.kind for one in found] == [one.kind for one in RUN]


def test_xnnpacks_own_where_there_are_not() -> None:
    file = [operator("stem", "CONV_2D", heavy=True), operator("a", "ADD"), operator("b", "ADD")]
    assert as_in_file(RUN, file) == RUN
