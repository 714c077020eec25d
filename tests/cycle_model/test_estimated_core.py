"""A core as a machine that models are timed on: estimates, kept, with the interval of estimates."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.cycle_model import estimated_core
from edgekit.cycle_model.accuracy import spread_of
from edgekit.cycle_model.blocks import Counts
from edgekit.cycle_model.counting import Run, count, count_many
from edgekit.cycle_model.estimated_core import EstimatedCore, ratio_by
from edgekit.cycle_model.tools import find_tools
from edgekit.engine.store import Store
from edgekit.errors import DeviceError
from edgekit.evaluation.layer_timing import RAW_INPUT
from edgekit.evaluation.measure import HERE
from edgekit.evaluation.timing import Candidate, Timing
from edgekit.evidence import Evidence
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.microbenchmark import Layer

ADD = (0x8B020020,)


@pytest.fixture
def files(tmp_path: Path) -> list[Candidate]:
    runtime = find_runtimes()["litert"]()
    found = []
    for width in (8, 64):
        (into := tmp_path / str(width)).mkdir()
        layer = Layer(kind="conv", kernel=3, height=16, width=16, cin=8, cout=width)
        runtime.single_layer_model(layer, True, into)
        found.append(Candidate(str(width), "litert", into / runtime.file, RAW_INPUT))
    return found


def nothing(*_: object) -> None: ...


def test_files_are_counted_together_and_once(
    files: list[Candidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(runs: list[Run], *_: Any) -> list[Counts]:
        asked.append(len(runs))
        return [Counts(Counter({ADD: 10**6 * (i + 1)}), 0, (0, 0, 0)) for i in range(len(runs))]

    monkeypatch.setattr(estimated_core, "count_many", counted)
    core = EstimatedCore("cortex-a76", Store(tmp_path / "store"))
    first = core.time(files[:1], tmp_path, nothing)
    both = core.time(files, tmp_path, nothing)
    again = core.time(files, tmp_path, nothing)
    assert asked == [1, 1]
    assert first.timings["8"].typical == both.timings["8"].typical == again.timings["8"].typical
    assert not both.disturbed
    assert both.environment["estimated"] == "cortex-a76"
    assert EstimatedCore("cortex-a53", core.store).identity() != core.identity()


def test_a_ratio_is_estimated_with_the_interval_of_estimates(tmp_path: Path) -> None:
    def timing(milliseconds: float) -> Timing:
        return Timing(0.0, 0.0, np.array([[1e-3 * milliseconds]]))

    core = EstimatedCore("cortex-a72", Store(tmp_path))
    found, spread = ratio_by(core, timing(3), timing(4)), spread_of("cortex-a72", "ratio")
    assert found.evidence is Evidence.ESTIMATED
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high) == pytest.approx((0.75 * spread.low, 0.75 * spread.high))
    here = Timing(0.0, 0.0, np.full((60, 1), 1e-3))
    assert ratio_by(HERE, here, here).evidence is Evidence.HOST


def test_other_runtimes_are_refused(files: list[Candidate], tmp_path: Path) -> None:
    other = Candidate("x", "openvino", files[0].path, RAW_INPUT)
    with pytest.raises(DeviceError, match="openvino is not emulated"):
        EstimatedCore("cortex-a76", Store(tmp_path / "store")).time([other], tmp_path, nothing)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_in_one_process_are_counted_as_each_alone(files: list[Candidate]) -> None:
    try:
        find_tools()
    except DeviceError as error:
        pytest.skip(f"{error.message}; {error.hint}")
    runtime = find_runtimes()["litert"]()
    runs = []
    for one in files:
        port = runtime.describe(one.path).input
        runs.append(Run(one.path, "litert", port.shape, port.dtype))
    together = count_many(runs, "cortex-a53", print)
    alone = [count(run, "cortex-a53", print) for run in runs]
    found, expected = ([counts.instructions for counts in each] for each in (together, alone))
    assert found == pytest.approx(expected, rel=5e-3)
    assert together[1].instructions > together[0].instructions
