"""What an untrained file may say of the trained one, and what a budget ends."""

from __future__ import annotations

import errno
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.api.searching import varied
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError, StorageError
from edgekit.evidence import Evidence, Measurement
from edgekit.model_search import ladder, run, task
from edgekit.model_search.built import BuiltPoint
from edgekit.model_search.evaluate import Lab, Trained
from edgekit.model_search.kept import publish_search, read_search
from edgekit.model_search.latencies import Stopwatch
from edgekit.model_search.limits import parse_limits
from edgekit.model_search.points import PointRecord
from edgekit.model_search.relative_latency import TimedFile
from edgekit.model_search.report import CandidateRecord
from edgekit.model_search.run import run_search
from edgekit.model_search.rungs import Rung
from edgekit.model_search.space import space_of
from edgekit.model_search.task import SearchTask
from edgekit.spec.recipe import Recipe
from edgekit.spec.search_settings import SearchSettings
from edgekit.spec.target import load_target
from edgekit.stages.prune import Prune
from tests.model_search.conftest import RECIPE
from tests.model_search.test_board import file_of
from tests.model_search.test_conclude import candidate, report
from tests.model_search.test_front import figure, point

PRUNED = RECIPE.replace(
    "  - quantize", "  - prune: {keep: 0.5, runtime: onnxruntime}\n  - quantize"
)
TRAINED = Trained(np.ones(10, bool), None, frozenset())


def size(megabytes: float) -> Measurement:
    return Measurement(value=megabytes, unit="MB", evidence=Evidence.MEASURED, method="bytes")


def judged(monkeypatch: pytest.MonkeyPatch, free: float, short: float) -> None:
    """Sizes that the first two rungs find, in MB."""

    def tell_free(lab: Lab, recipe: Recipe, record: PointRecord) -> None:
        record.size = size(free)

    def tell_short(lab: Lab, recipe: Recipe, record: PointRecord) -> Trained:
        record.size = size(short)
        return TRAINED

    monkeypatch.setattr(ladder, "judge_free", tell_free)
    monkeypatch.setattr(ladder, "judge_short", tell_short)


@pytest.mark.parametrize(
    ("text", "free", "short", "rung", "dropped"),
    [
        (RECIPE, 2.0, 0.5, Rung.FREE, "free: breaks size<=1MB"),
        (RECIPE, 0.5, 2.0, Rung.SHORT, "short: breaks size<=1MB"),
        (PRUNED, 2.0, 0.5, Rung.SHORT, ""),
        (PRUNED.replace("keep", "by: macs, keep"), 2.0, 0.5, Rung.FREE, "free: breaks"),
    ],
)
def test_a_limit_drops_only_what_surely_breaks_it(
    world: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    free: float,
    short: float,
    rung: Rung,
    dropped: str,
) -> None:
    judged(monkeypatch, free, short)
    (world / "ladder.yaml").write_text(text)
    vary, _ = varied(world / "ladder.yaml", Silent())
    target = load_target(str(world / "board.yaml"))
    lab = Lab(target, store, Silent(), Stopwatch("", store, Silent()), SearchSettings())
    record = CandidateRecord(name="p", settings={"data.image_size": 32})
    climbed = ladder.Ladder(lab, vary, parse_limits(["size<=1MB"]))
    assert climbed.free_and_short(record, lambda: False)
    assert record.rung is rung
    assert record.dropped.startswith(dropped)
    assert bool(record.dropped) == bool(dropped)


def test_a_full_disk_is_no_fault_of_a_candidate(
    world: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", f"{tempfile.gettempdir()}/x")

    monkeypatch.setattr(ladder, "judge_free", full)
    (world / "ladder.yaml").write_text(RECIPE)
    vary, _ = varied(world / "ladder.yaml", Silent())
    target = load_target(str(world / "board.yaml"))
    lab = Lab(target, store, Silent(), Stopwatch("", store, Silent()), SearchSettings())
    record = CandidateRecord(name="p", settings={})
    with pytest.raises(StorageError, match="no space left on the disk"):
        ladder.Ladder(lab, vary, ()).free_and_short(record, lambda: False)
    assert not record.dropped


def test_where_the_time_is_over_nothing_is_trained(
    world: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, 2.0, 0.5)
    (world / "ladder.yaml").write_text(RECIPE)
    vary, _ = varied(world / "ladder.yaml", Silent())
    target = load_target(str(world / "board.yaml"))
    lab = Lab(target, store, Silent(), Stopwatch("", store, Silent()), SearchSettings())
    record = CandidateRecord(name="p", settings={"data.image_size": 32})
    assert not ladder.Ladder(lab, vary, ()).free_and_short(record, lambda: True)
    assert (record.rung, record.size) == (Rung.FREE, size(2.0))
    limited = ladder.Ladder(lab, vary, parse_limits(["size<=1MB"]))
    assert limited.free_and_short(record, lambda: True), "it breaks a limit, and needs no training"


def task_of(world: Path, store: Store, folder: Path, text: str, *limits: str) -> SearchTask:
    (world / "task.yaml").write_text(text)
    vary, recipe = varied(world / "task.yaml", Silent())
    target = load_target(str(world / "board.yaml"))
    space = space_of(recipe, {"data.image_size": [32, 48, 64]}, target, vary)
    return SearchTask(recipe, vary, space, parse_limits(limits), target, store, Silent(), folder)


def test_a_named_reference_is_whole_and_told_with_its_runtime(
    world: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Recipe] = []

    def tell(lab: Lab, recipe: Recipe, record: PointRecord) -> TimedFile:
        seen.append(recipe)
        record.runtime, record.precision = "onnxruntime", "float16"
        return file_of(store)

    monkeypatch.setattr(task, "judge_free", tell)
    lab = task_of(world, store, tmp_path, PRUNED, "latency<=0.6x resnet18").lab()
    assert not any(isinstance(stage, Prune) for stage in seen[0].stages)
    assert "resnet18 (onnxruntime, float16)" in lab.watch.words
    assert lab.watch.reference == file_of(store)


def test_a_budget_ends_a_search_that_could_train_nothing(
    world: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, 2.0, 2.0)
    monkeypatch.setattr(task, "judge_free", lambda *_: file_of(store))
    found = run_search(
        task_of(world, store, tmp_path, RECIPE, "size<=1MB"), lambda _: None, seconds=0.0
    )
    assert len(found.candidates) == 1
    assert found.state == "out of time"
    assert found.failure.startswith("the time was over; none of 1 candidates holds the limits")


def test_two_candidates_of_one_name_are_refused(
    world: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, 2.0, 2.0)
    monkeypatch.setattr(task, "judge_free", lambda *_: file_of(store))
    monkeypatch.setattr(run, "point_name", lambda settings: "p1")
    with pytest.raises(EdgekitError, match="two candidates have the name p1"):
        run_search(task_of(world, store, tmp_path, RECIPE, "size<=1MB"), lambda _: None)


def test_what_was_found_stays_until_another_search_has_ended(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    kept = store.root / "search/photos-board"

    def publish(key: str, state: Any) -> None:
        found = report(candidate(point("p", 90, 1, 1)))
        found.key, found.state = key, state
        publish_search(found, kept, tmp_path / "out", lambda _: key)

    publish("one", "done")
    publish("two", "searching")
    assert read_search(store, "photos-board").key == "one"
    publish("two", "done")
    assert read_search(store, "photos-board").key == "two"
    assert (tmp_path / "out/search.html").read_text() == "two"


def test_weights_of_two_searches_lie_side_by_side(
    world: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(lab: Lab, recipe: Recipe, record: PointRecord) -> Trained:
        record.top1 = figure(90, "%")
        return TRAINED

    def short(lab: Lab, recipe: Recipe, record: PointRecord) -> Trained:
        record.size, record.variant = size(0.5), "slower"
        return full(lab, recipe, record)

    judged(monkeypatch, 0.5, 0.5)
    monkeypatch.setattr(task, "judge_free", lambda *_: file_of(store))
    monkeypatch.setattr(ladder, "judge_short", short)
    monkeypatch.setattr(ladder, "judge_full", full)
    asked: list[str] = []

    def build(*args: Any, variant: str, crew: Any) -> Any:
        asked.append(variant)
        return BuiltPoint(point("p", 88, 1, 0.5))

    monkeypatch.setattr(run, "build_point", build)
    for limit in ("size<=1MB", "size<=2MB"):
        run_search(task_of(world, store, tmp_path, RECIPE, limit), lambda _: None)
    files = {path.name for path in tmp_path.glob("*.yaml")}
    assert len({name[:13] for name in files}) * 2 == len(files)
    assert {*asked} == {"slower"}


class Ahead:
    """A crew that begins all before the first has ended."""

    def in_order(self, work: Callable[[Any], Any], items: Sequence[Any], ahead: int) -> list[Any]:
        with ThreadPoolExecutor(len(items)) as pool:
            return list(pool.map(work, items))


@pytest.mark.parametrize("crew", [None, Ahead()])
def test_when_the_time_is_over_one_of_the_front_is_trained(
    world: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crew: Any
) -> None:
    def trained(lab: Lab, recipe: Recipe, record: PointRecord) -> Trained:
        record.top1, record.size = figure(90, "%"), size(0.5)
        return TRAINED

    def fully(*args: Any) -> Trained:
        time.sleep(0.3)
        return trained(*args)

    over: list[bool] = []

    def compared(*_: object) -> list[str]:
        over.append(True)
        return []

    judged(monkeypatch, 0.5, 0.5)
    monkeypatch.setattr(task, "judge_free", lambda *_: file_of(store))
    monkeypatch.setattr(ladder, "judge_short", trained)
    monkeypatch.setattr(ladder, "judge_full", fully)
    monkeypatch.setattr(run, "effects", compared)
    monkeypatch.setattr(run, "build_point", lambda *_, **__: BuiltPoint(point("p", 88, 1, 0.5)))
    monkeypatch.setattr(run._Search, "_is_over", lambda *_: bool(over))
    asked = replace(task_of(world, store, tmp_path, RECIPE), crew=crew)
    found = run_search(asked, lambda _: None)
    assert len(found.candidates) == 3
    assert len(found.front) == 1
    assert found.state == "out of time"


def test_a_search_is_another_with_other_weights_or_another_machine(
    world: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    weights, text = world / "own.safetensors", RECIPE.replace("scratch", "own.safetensors")
    keys = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_file(timm.create_model("test_efficientnet").state_dict(), weights)
        keys.append(task_of(world, store, tmp_path, text).key("ms"))
    again = task_of(world, store, tmp_path, text)
    assert again.key("ms") == keys[1]
    monkeypatch.setattr(task, "measuring_identity", lambda _: {"cpu": "another"})
    assert len({*keys, again.key("ms"), again.key("x")}) == 4
