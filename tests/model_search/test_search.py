"""A search trains what may hold, chooses by images held back, and goes on where it was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.shell_completion import ShellComplete

import edgekit
from edgekit.api import plan, read_search, search, search_recipe
from edgekit.cli import cli
from edgekit.data.inventory import take_inventory
from edgekit.data.splits import divide
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step, StepState
from edgekit.engine.store import Store
from edgekit.errors import GateBroken, InputError
from edgekit.model_search import evaluate
from edgekit.model_search.evaluate import Lab, judge_free, judge_short
from edgekit.model_search.latencies import Stopwatch
from edgekit.model_search.points import PointRecord
from edgekit.model_search.report import SearchReport
from edgekit.model_search.rungs import Rung
from edgekit.model_search.search_page import render_search
from edgekit.model_search.selection import divided_again
from edgekit.models.source import ModelSource
from edgekit.spec.recipe import load_recipe
from edgekit.spec.search_settings import SearchSettings
from edgekit.spec.target import load_target
from tests.model_search.conftest import RECIPE

pytestmark = pytest.mark.slow
SPACE = """\
search:
  over:
    model.arch: [test_efficientnet, test_wit]
    data.image_size: [32, 48]
  epochs: 1
  images: 16
  held_back: 0.3
  front: 2
"""
LIMIT = ["size<=0.5MB"]


class Counting(Silent):
    def __init__(self) -> None:
        self.ran: list[str] = []
        self.told: list[str] = []

    def remark(self, line: str) -> None:
        self.told.append(line)

    def started(self, step: Step) -> None:
        self.ran.append(step.id)


def run(world: Path, **options: Any) -> tuple[SearchReport, list[str]]:
    seen = Counting()
    settings: dict[str, Any] = {"limits": LIMIT, "out": world / "found", **options}
    report = search(
        world / "search.yaml",
        world / "board.yaml",
        store=world / "store",
        observer=seen,
        **settings,
    )
    return report, seen.ran


@pytest.fixture(scope="module")
def found(world: Path) -> SearchReport:
    (world / "search.yaml").write_text(RECIPE + SPACE)
    return run(world)[0]


def test_every_candidate_is_in_the_front_or_has_a_reason(found: SearchReport) -> None:
    assert len(found.candidates) == 4
    assert found.state == "done"
    assert 1 <= len(found.front) <= 2
    for one in found.candidates:
        assert (one.name in found.front) != bool(one.dropped)
        if one.settings["model.arch"] == "test_wit":
            assert "no architecture 'test_wit'" in one.dropped
    assert found.recommended in found.front
    assert "of 4 candidates" in found.why
    assert "test_efficientnet, image_size " in found.sentence


def test_the_front_is_judged_on_images_that_chose_nothing(world: Path, found: SearchReport) -> None:
    assert found.held_back == 10
    assert found.judged == 12
    for name in found.front:
        confirmed = found.candidate(name).confirmed
        assert confirmed is not None
        assert confirmed.top1 is not None
        assert (found.candidate(name).rung, confirmed.top1.samples) == (Rung.FULL, 12)
    assert "images that chose nothing" in found.confirmation


def test_the_recipe_of_a_point_builds_to_the_same_digests(world: Path, found: SearchReport) -> None:
    assert found.recommended
    text = search_recipe(found.name, found.recommended, store=world / "store")
    (world / "elsewhere").mkdir(exist_ok=True)
    (world / "elsewhere/r.yaml").write_text(text)
    planned = plan(world / "elsewhere/r.yaml", world / "board.yaml", store=world / "store")
    assert {step.state for step in planned.steps} == {StepState.CACHED}
    assert "finetune" not in yaml.safe_load(text)["stages"][0]


def test_it_is_found_by_its_name_and_laid_out(world: Path, found: SearchReport) -> None:
    assert read_search("search-board", store=world / "store") == found
    page = render_search(found)
    assert all(one.name in page for one in found.candidates)
    with pytest.raises(InputError, match="did you mean 'search-board'"):
        read_search("search-bord", store=world / "store")
    dropped = next(one.name for one in found.candidates if one.dropped)
    with pytest.raises(InputError, match="no weights to go on from"):
        search_recipe(found.name, dropped, store=world / "store")


def test_the_words_of_the_command_are_completed(
    world: Path, found: SearchReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    shell = ShellComplete(cli, {}, "edgekit", "_EDGEKIT_COMPLETE")

    def offered(*words: str) -> list[str]:
        typed = ["search", "--store", str(world / "store"), *words]
        return [item.value for item in shell.get_completions(typed, "")]

    assert {"recipe.yaml", "show", "recipe"} <= {*offered()}
    assert offered("show") == ["search-board"]
    assert {*offered("recipe", "search-board")} == {*found.front}


def test_an_untrained_file_is_as_large_as_a_trained_one(world: Path, store: Store) -> None:
    """Its branches begin with zeros, which a converter would fold away."""
    recipe = load_recipe(world / "recipe.yaml")
    recipe = recipe.model_copy(update={"model": ModelSource(arch="test_resnet", weights="scratch")})
    target = load_target(str(world / "board.yaml"))
    watch = Stopwatch("", store, Silent())
    lab = Lab(target, store, Silent(), watch, SearchSettings(held_back=0.3, epochs=1, images=16))
    free = PointRecord(name="free", settings={})
    judge_free(lab, recipe, free)
    trained = free.model_copy()
    judge_short(lab, recipe, trained)
    assert free.size
    assert trained.size
    assert free.size.value == pytest.approx(trained.size.value, rel=0.02)


def test_a_file_that_is_another_than_the_untrained_is_timed_again(
    world: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []
    monkeypatch.setattr(
        evaluate, "time_file", lambda _, __, file: timed.append(file.artifact.digest)
    )
    recipe, target = load_recipe(world / "recipe.yaml"), load_target(str(world / "board.yaml"))
    settings = SearchSettings(held_back=0.3, epochs=1, images=16)
    lab = Lab(target, store, Silent(), Stopwatch("", store, Silent()), settings)
    free = PointRecord(name="free", settings={})
    judge_free(lab, recipe, free)
    assert free.macs
    judge_short(lab, recipe, free.model_copy())
    assert len(timed) == 1
    judge_short(lab, recipe, free.model_copy(update={"macs": 2 * free.macs}))
    assert len({*timed}) == 2


KILLED = """
import os, signal, sys
import edgekit
from edgekit.evaluation import measure
measure.PROTOCOL.update(warmup_seconds=0.05, seconds=0.2, rounds=40)
measure.PROCESSES = 1
class Watching(edgekit.Silent):
    def remark(self, line):
        if line.startswith("candidate 3"):
            os.kill(os.getpid(), signal.SIGKILL)
edgekit.search("search.yaml", "board.yaml", limits=["size<=0.5MB"], out="found", store="store",
               observer=Watching())
"""


def test_a_killed_search_goes_on_and_finds_the_same_front(world: Path, found: SearchReport) -> None:
    (journal,) = (world / "store/search/search-board").glob("*.log")
    journal.unlink()
    path = {"PYTHONPATH": str(Path(edgekit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=world, env={**os.environ, **path})
    assert done.returncode == -signal.SIGKILL
    with journal.open("a") as stream:
        stream.write('{"torn')
    again, ran = run(world)
    assert [one.settings for one in again.candidates] == [one.settings for one in found.candidates]
    assert [step for step in ran if step != "latency"] == []
    assert (again.front, again.recommended) == (found.front, found.recommended)


def test_limits_that_nobody_holds_train_nothing_and_name_the_nearest(world: Path) -> None:
    shutil.copy(world / "search.yaml", world / "strict.yaml")
    seen = Counting()
    report = search(
        world / "strict.yaml",
        world / "board.yaml",
        limits=["size<=1kB"],
        out=world / "none",
        store=world / "store",
        observer=seen,
    )
    assert not [step for step in seen.ran if step.endswith("finetune")]
    assert seen.told[:2] == [
        "4 of 4 candidates at most; values: model.arch 2, data.image_size 2",
        "26 training images to learn from, 10 others, held back, to choose by",
    ]
    assert [line for line in seen.told if line.startswith("4 of 4 compared; test_")]
    with pytest.raises(
        GateBroken, match=r"none of 2 candidates holds.* misses size<=0\.001MB by .*; 2 could not"
    ):
        report.check()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limits": ["latency<=8ms"]}, "milliseconds on board cannot be told here: nothing models"),
        ({"limits": ["latency<=0.6x resnet81"]}, "--limit latency: timm knows no architecture"),
        ({"over": {"data.seed": [1, 2]}}, "candidates are judged on the same images"),
        ({"over": ["data.image_size=7,32"]}, "at least 16"),
        ({"over": {"data.image_size": []}}, "no value to try"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    world: Path, found: SearchReport, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(world, **options)


def test_what_chooses_was_never_learned_from_and_judges_nothing(world: Path) -> None:
    source = load_recipe(world / "recipe.yaml").data
    inventory = take_inventory(source, world / "digests")
    kept = {s.name for s in divide(inventory, source)["validation"]}
    samples = divided_again(source, inventory, 0.3, 0).listing().samples
    names = [s.name for s in samples]
    assert len(names) == len({*names})
    assert not kept & {*names}
    held_back = {s.name for s in samples if s.split == "validation"}
    few = divided_again(source, inventory, 0.3, 0, most=8).listing().samples
    assert {s.name for s in few if s.split == "validation"} == held_back
    assert len([s for s in few if s.split == "train"]) == 8
