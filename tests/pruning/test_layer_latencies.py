"""The table: what is probed, and what is made of the timings. Timings are made up here."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data.size import Size
from edgekit.engine.action import Context
from edgekit.engine.store import Store
from edgekit.evaluation.measure import HERE, Host
from edgekit.evaluation.timing import Candidate, MeasureResult, Timing
from edgekit.models import timm_models
from edgekit.models.card import Card
from edgekit.pruning.groups import Dependencies
from edgekit.pruning.layer_latencies import (
    LatencyTable,
    Table,
    TimedLayer,
    distinct,
    measure_table,
    read_table,
)
from edgekit.pruning.network import Network, read_network
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.microbenchmark import Layer
from edgekit.runtimes.onnxruntime import OnnxRuntime
from edgekit.transports.fake import Fake
from tests.boards import board_of

PLACE = Layer(kind="conv", height=4, width=4, cin=64, cout=32)


@pytest.fixture(scope="module")
def network() -> Network:
    model = timm_models.create("test_efficientnet", 2)
    return read_network(model, Size.square(32), Dependencies(model, Size.square(32)).groups)


def seconds_of(layer: Layer) -> float:
    """Made up: 5 us for each run, 1 ns for each value that is padded, and the layer itself."""
    return 5e-6 + 1e-9 * layer.height * layer.width * layer.cin + own_seconds(layer)


def own_seconds(layer: Layer) -> float:
    return 0.0 if layer.kind == "frame" else 1e-9 * layer.macs + 2e-9 * layer.cout


@pytest.fixture
def measured(network: Network) -> Table:
    written: list[Layer] = []

    class Pretence(OnnxRuntime):
        def single_layer_model(self, layer: Layer, integer: bool, into: Path) -> None:
            assert integer
            written.append(layer)

    class Pretender(Host):
        def time(self, candidates: list[Candidate], images: Path, progress: Any) -> MeasureResult:
            assert np.load(images).shape[1:] == (1, 1, 1)
            rounds = {c.id: np.full((30, 3), seconds_of(written[int(c.id)])) for c in candidates}
            timings = {name: Timing(0.0, 0.0, values) for name, values in rounds.items()}
            return MeasureResult(environment={}, timings=timings)

    runtime: Runtime = Pretence()
    return measure_table(network, runtime, "int8", Pretender(), lambda *_: None)


def test_what_the_probe_itself_takes_is_taken_off(network: Network, measured: Table) -> None:
    assert measured.frame_seconds == pytest.approx(5e-6)
    assert measured.frame_seconds_per_value == pytest.approx(1e-9)
    for part in network.parts:
        assert measured.seconds(part.layer) == pytest.approx(own_seconds(part.layer))


def test_between_measured_widths_time_is_interpolated(network: Network, measured: Table) -> None:
    """The made-up time is bilinear, so every width comes out exactly."""
    widths = [max(8, group.width // 2) for group in network.groups]
    for layer in network.layers(widths):
        assert measured.seconds(layer) == pytest.approx(own_seconds(layer))


def test_a_table_is_read_back_as_it_was(measured: Table) -> None:
    again = Table.model_validate_json(measured.model_dump_json())
    assert again.entries == measured.entries
    assert again.seconds(measured.entries[0].layer) >= 0


def test_a_table_of_another_network_is_not_used(measured: Table) -> None:
    with pytest.raises(KeyError):
        measured.seconds(PLACE.model_copy(update={"height": 77}))


def test_layers_at_equal_places_are_measured_once(network: Network) -> None:
    grids = distinct(network)
    places = [(g.layer.kind, g.layer.kernel, g.layer.stride, g.layer.height) for g in grids]
    assert len(set(places)) == len(places) < len(network.parts)


def test_what_no_cut_changes_is_measured_at_its_own_width(network: Network) -> None:
    stem = next(g for g in distinct(network) if g.layer.kernel == 3 and 3 in g.cins)
    assert stem.cins[0] == 3
    assert network.parts[-1].makes.owners == ()  # the classifier's scores
    assert any(2 in grid.couts for grid in distinct(network))


@given(
    st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True).map(sorted),
    st.integers(1, 120),
)
def test_a_layer_of_one_slope_is_read_off_exactly(widths: list[int], asked: int) -> None:
    seconds = tuple((3.0 * width,) for width in widths)
    entry = TimedLayer(layer=PLACE, cins=tuple(widths), couts=(32,), seconds=seconds)
    if len(widths) > 1:
        assert entry.at(asked, 32) == pytest.approx(3.0 * asked)
    else:
        assert entry.at(asked, 32) == 3.0 * widths[0]


def test_a_comment_in_the_agent_does_not_cut_the_network_anew() -> None:
    settings = LatencyTable(find_runtimes()["litert"](), "int8").settings()
    assert "agent" not in settings
    assert settings["host"]["cpu"]
    assert settings["protocol"]["rounds"]
    assert set(settings) == {
        "runtime", "precision", "shares", "step", "frames", "host", "protocol"
    }  # fmt: skip  # another one would measure anew what was measured, and train anew


def test_a_table_is_measured_on_the_device(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "locks"))
    root = tmp_path / "a board"
    fake = Fake(root=str(root), python=sys.executable)
    board = board_of(fake)
    with store.workspace() as folder:
        card = Card(arch="test_efficientnet", classes=("a", "b"), image_size=32, mean=(0.5,) * 3,
                    std=(0.5,) * 3, crop_pct=1.0, parameters=1, macs=1)  # fmt: skip
        metadata = timm_models.save(timm_models.create("test_efficientnet", 2), card, folder)
        model = store.commit("model", folder, metadata, (), 0)
    action = LatencyTable(find_runtimes()["onnxruntime"](), "int8", board)
    context = Context(progress=lambda *_: None, partial=tmp_path)
    with store.workspace() as folder:
        found = action.run({"model": model}, folder, context)
        table = read_table(store.commit("table", folder, found, (), 0))
    runs = [command for command in fake.commands if "agent.py job.json" in command]
    assert len(runs) == 1  # all probes together
    assert len(table.entries) == found.layers > 3
    assert any(second > 0 for entry in table.entries for row in entry.seconds for second in row)
    assert not list((root / "edgekit/work").iterdir())
    assert action.settings() != LatencyTable(action.runtime, "int8", HERE).settings()
    assert "agent" not in action.settings()
