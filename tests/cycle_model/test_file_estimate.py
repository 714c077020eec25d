"""Estimates: from counts made by hand, and of tiny models that really run under qemu-user."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgekit.cycle_model.accuracy import accuracy
from edgekit.cycle_model.blocks import Counts
from edgekit.cycle_model.boards import memories_of, need_modelled_core
from edgekit.cycle_model.counting import Run, count
from edgekit.cycle_model.cycles import cycles_of
from edgekit.cycle_model.file_estimate import estimate_file, estimated
from edgekit.cycle_model.tools import find_tools
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, InputError
from edgekit.evidence import Evidence
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.microbenchmark import Layer
from edgekit.transports.emulation.cpus import CPUS, CpuName

ADD, LOAD = 0x8B020020, 0xF9400043


@pytest.mark.parametrize("core", CPUS)
def test_time_is_cycles_and_lines_from_memory(core: CpuName) -> None:
    board = memories_of(core)
    misses = tuple(0 for _ in board.caches[1:])
    counts = Counts(Counter({(ADD, LOAD): 10**6, (ADD,): 1}), 10**6, (0, *misses))
    cached = cycles_of(counts, core)
    assert cached.by_class == {"integer": 10**6 + 1, "load or store": 10**6}
    far = cycles_of(Counts(counts.blocks, 10**6, (*misses, 1000)), core)
    assert far.milliseconds - cached.milliseconds == pytest.approx(
        64 * 1000 / board.bandwidth / 1e6
    )
    found = estimated(far, "onnxruntime 1")
    assert found.latency.evidence is Evidence.ESTIMATED
    assert found.latency.low is not None
    assert found.latency.high is not None
    assert found.latency.low <= found.latency.value <= found.latency.high
    assert f"errors of cycle model {accuracy().method} " in found.latency.method
    ratio = found.ratio_to(found)
    assert (ratio.value, ratio.unit) == (1, "ratio")
    assert ratio.low == pytest.approx(1 / (ratio.high or 0), rel=0.01)


def test_a_line_from_the_second_cache_costs_cycles_where_latencies_asked_for_it() -> None:
    prices = {core: memories_of(core).line_cycles for core in CPUS}
    assert [core for core, price in prices.items() if price] == ["cortex-a72"]
    board = memories_of("cortex-a72")
    assert board.milliseconds((1000, 0)) == pytest.approx(1e-3 * board.line_cycles / board.ghz)
    both = board.milliseconds((1000, 10))
    assert both - board.milliseconds((1000, 0)) == pytest.approx(64e-5 / board.bandwidth)


def test_other_cores_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="cortex-m7: its pipeline is not modelled"):
        need_modelled_core("cortex-m7")


def test_the_intervals_are_of_this_method() -> None:
    assert set(accuracy().cores) == set(CPUS)
    assert all(spread.low < spread.high for c in accuracy().cores.values() for spread in c.values())


def _refuse(line: str) -> None:
    raise AssertionError(f"it is counted again: {line}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["litert", "onnxruntime"])
def test_tiny_models_give_the_same_counts_twice(name: str, tmp_path: Path) -> None:
    try:
        find_tools()
    except DeviceError as error:
        pytest.skip(f"{error.message}; {error.hint}")
    runtime = find_runtimes()[name]()
    layer = Layer(kind="conv", kernel=3, height=64, width=64, cin=32, cout=32)
    runtime.single_layer_model(layer, True, tmp_path)
    file = tmp_path / runtime.file
    port = runtime.describe(file).input
    for core in CPUS:
        store = Store(tmp_path / "store")
        found = estimate_file(runtime, file, port, core, store, print, operators=True)
        shares, work = found.operators, found.cycles
        assert shares, found.no_operators
        assert sum(one.share for one in shares.operators) + shares.rest == pytest.approx(1)
        assert shares.rest < 0.2  # Python and the runtime around so few operators
        assert "Conv" in shares.slowest[0].kind
        assert shares.slowest[0].share > 0.5
        kept = estimate_file(runtime, file, port, core, store, _refuse, operators=True)
        assert kept == found
        assert found.latency.value > 0
        # Every multiply-accumulate is done, at most sixteen by one instruction.
        assert work.by_class["multiply-accumulate"] >= layer.macs / 16
        again = count(Run(file, name, port.shape, port.dtype), core, print)
        assert again.instructions == pytest.approx(work.instructions, rel=2e-3)
