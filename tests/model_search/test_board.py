"""A device that fails is no candidate's fault; one that answers gives an interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.api.searching import varied
from edgekit.engine.artifact import Artifact
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.evaluation.milliseconds import milliseconds
from edgekit.evaluation.timing import Timing
from edgekit.evidence import Evidence, InvalidMeasurement, Measurement
from edgekit.model_search import latencies
from edgekit.model_search.device_latency import BoardFailed
from edgekit.model_search.latencies import Stopwatch, stopwatch, time_file
from edgekit.model_search.limits import parse_limits
from edgekit.model_search.points import PointRecord
from edgekit.model_search.relative_latency import RelativeLatency, TimedFile
from edgekit.model_search.run import run_search
from edgekit.model_search.space import Space, space_of
from edgekit.model_search.study import CandidateStudy
from edgekit.model_search.task import SearchTask
from edgekit.spec.target import load_target
from edgekit.transports.local import Local
from tests.boards import BOARD, board_of
from tests.model_search.conftest import RECIPE

SLOW = Measurement(value=9.0, unit="ms", evidence=Evidence.MEASURED, method="m", low=8.9, high=9.1)
BUSY = InvalidMeasurement.of(SLOW, "machine too busy")


def timing(*seconds: float) -> Timing:
    return Timing(load=0, first=0, rounds=np.array([[s] for s in seconds]))


def test_milliseconds_have_the_interval_of_their_processes() -> None:
    found = milliseconds([timing(7.9e-3), timing(8e-3), timing(8.1e-3)], Evidence.MEASURED)
    assert isinstance(found, Measurement)
    assert found.value == pytest.approx(8, rel=0.01)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 7.9
    assert found.high > 8.1


def test_one_disturbed_process_makes_no_figure() -> None:
    noisy = timing(*[1e-3] * 8, *[9e-3] * 2)
    assert isinstance(milliseconds([timing(1e-3), noisy], Evidence.MEASURED), InvalidMeasurement)


class Answers:
    """Stands for the timing of a file: each answer in turn."""

    def __init__(self, *answers: Any) -> None:
        self.left = [*answers]

    def __call__(self, *_: object) -> Any:
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def file_of(store: Store) -> TimedFile:
    artifact = Artifact(digest="0" * 64, path=store.root, files={}, metadata={}, parents=())
    return TimedFile(artifact, "onnxruntime", artifact)


@pytest.mark.parametrize(
    ("answer", "is_the_boards"),
    [
        (DeviceError("no way to it", fault=Fault.UNREACHABLE), True),
        (DeviceError("it was slowed down"), True),
        (BUSY, True),
        (DeviceError("killed by a signal", fault=Fault.CRASHED), False),
    ],
)
def test_a_board_that_fails_is_told_from_a_file_that_does(
    store: Store, monkeypatch: pytest.MonkeyPatch, answer: Any, is_the_boards: bool
) -> None:
    monkeypatch.setattr(latencies, "timed", Answers(answer))
    watch = Stopwatch("ms", store, Silent(), board=board_of(Local()))
    record = PointRecord(name="p", settings={})
    if is_the_boards:
        with pytest.raises(BoardFailed) as caught:
            time_file(watch, record, file_of(store))
        assert caught.value.exit_code == 5
        assert "goes on where it was" in str(caught.value.hint)
    else:
        time_file(watch, record, file_of(store))
        assert record.no_latency == "killed by a signal"


@pytest.mark.slow
def test_a_board_that_dies_ends_the_search_and_no_candidate_is_kept_for_it(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world / "boarded.yaml").write_text(RECIPE)
    vary, recipe = varied(world / "boarded.yaml", Silent())
    target = load_target(str(world / "board.yaml"))
    board = board_of(Local(), target)
    assert board.is_timed
    space = space_of(recipe, {"data.image_size": [32, 48, 64]}, target, vary)
    limits = parse_limits(["latency<=1ms"])
    store = Store(world / "store")
    task = SearchTask(recipe, vary, space, limits, target, store, Silent(), tmp_path, board)
    monkeypatch.setattr(latencies, "timed", Answers(SLOW, DeviceError("gone")))
    with pytest.raises(BoardFailed, match="gone"):
        run_search(task, lambda _: None)
    (journal,) = (store.root / "search" / task.name).glob("*.log")
    (kept,) = CandidateStudy(journal, space.axes, 0).records
    assert "breaks latency<=1ms by a factor of 9" in kept["dropped"]
    monkeypatch.setattr(latencies, "timed", Answers(SLOW, SLOW))
    report = run_search(task, lambda _: None)
    assert "none of 3 candidates holds the limits" in report.failure


def test_a_multiple_beside_a_board_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    vary, recipe = varied(tmp_path / "r.yaml", Silent())
    limits = parse_limits(["latency<=0.6x resnet18"])
    space = Space({"data.image_size": [32]}, {})
    task = SearchTask(
        recipe, vary, space, limits, BOARD, store, Silent(), tmp_path, board_of(Local())
    )
    with pytest.raises(InputError, match="pi5 is named, and a multiple is timed on this machine"):
        task.lab()


def test_files_of_a_target_with_another_device_are_timed_on_it(store: Store) -> None:
    target = BOARD.model_copy(update={"device": "NPU"})
    watch = stopwatch(target, None, "a reference", store, Silent())
    assert watch.device == "NPU"
    action = RelativeLatency("openvino", "openvino", "NPU")
    assert action.settings()["device"] == "NPU"
    assert "device" not in RelativeLatency("openvino", "openvino").settings()
