"""Shares of operators: they add up with the rest, and a profiler's own work is none of theirs."""

from __future__ import annotations

from collections import Counter

import pytest

from edgekit.cycle_model.blocks import Block, Counts
from edgekit.cycle_model.operators import OperatorShares, shares_of
from edgekit.cycle_model.profiled import Profiled
from edgekit.transports.emulation.cpus import CPUS, CpuName

ADD, OTHER, PROFILER = (0x8B020020,), (0x8B030041,), (0x8B040062,)


def counts(blocks: dict[Block, int], lines: int = 0) -> Counts:
    return Counts(Counter(blocks), 0, (lines, lines, lines))


@pytest.mark.parametrize("core", CPUS)
def test_operators_and_the_rest_are_the_whole(core: CpuName) -> None:
    whole = counts({ADD: 800, OTHER: 200})
    first = Profiled("first", "Conv", counts({ADD: 600, PROFILER: 400}))
    second = Profiled("second", "Add", counts({ADD: 200, OTHER: 100}))
    found = shares_of(whole, [first, second], core)
    assert [one.share for one in found.operators] == pytest.approx([0.6, 0.3])
    assert [one.instructions for one in found.operators] == [600, 300]
    assert found.rest == pytest.approx(0.1)
    assert OperatorShares.model_validate_json(found.model_dump_json()) == found


def test_no_block_runs_more_often_than_without_a_profiler() -> None:
    whole = counts({ADD: 100})
    parts = [Profiled(name, "Conv", counts({ADD: 100})) for name in ("one", "other")]
    found = shares_of(whole, parts, "cortex-a76")
    assert [one.share for one in found.operators] == pytest.approx([0.5, 0.5])
    assert found.rest == pytest.approx(0)


def test_lines_from_memory_are_shared_out_too() -> None:
    whole = counts({ADD: 1000}, lines=100)
    parts = [
        Profiled("far", "Conv", counts({ADD: 500}, lines=150)),
        Profiled("near", "Conv", counts({ADD: 500}, lines=50)),
    ]
    far, near = shares_of(whole, parts, "cortex-a53").operators
    assert far.share + near.share == pytest.approx(1)
    assert far.memory_share > near.memory_share > 0


def test_a_person_is_told_of_the_slowest_and_of_all_others() -> None:
    whole = counts({ADD: 100})
    parts = [Profiled(f"layer{i}", "Conv", counts({ADD: 11 + i})) for i in range(8)]
    found = shares_of(whole, parts, "cortex-a76")
    assert [one.name for one in found.slowest] == [f"layer{i}" for i in (7, 6, 5, 4, 3)]
    assert found.unnamed == 3
    assert sum(one.share for one in found.slowest) + found.others + found.rest == pytest.approx(1)
    assert str(found).startswith("layer7 (Conv)")
