"""Estimates and operators of a build: a gate asks for an estimate while it runs, all others come
after it is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.api.building import Prepared, run
from edgekit.cycle_model.blocks import Counts
from edgekit.cycle_model.profiled import Profiled
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.history.database import History
from edgekit.pipeline.plan import make_plan
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1}}, {quantize: {method: ptq, samples: 8, max_float_macs: 1}}, export]
allow_untrained: true
gates: {max_latency_ratio: 1.6, evidence: estimated}
"""
COUNTING = "counting"


class Remarks(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def remark(self, line: str) -> None:
        self.lines.append(line)


def counted(file: object, core: str, on_message: Callable[[str], None]) -> Counts:
    on_message(COUNTING)
    return Counts(Counter({(0x8B020020,): 10**6}), 0, (0, 0, 0))


def profiled(file: object, core: str, on_message: Callable[[str], None]) -> list[Profiled]:
    return [Profiled("conv1", "Conv", counted(file, core, lambda _: None))]


@pytest.fixture
def prepared(
    images_folder: Path,
    write_recipe: Callable[..., Path],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> Prepared:
    monkeypatch.setattr("edgekit.cycle_model.file_estimate.count", counted)
    monkeypatch.setattr("edgekit.cycle_model.file_estimate.count_operators", profiled)
    for place in ("target_plan", "shipped_estimates"):
        monkeypatch.setattr(f"edgekit.pipeline.{place}.need_counting", lambda core, target: None)
    recipe = write_recipe(RECIPE)
    pi = Target(name="pi", description="", runtimes=("onnxruntime",), cpu="cortex-a76", threads=1)
    plan = make_plan(load_recipe(recipe), [pi], store)
    return Prepared(plan, store, recipe, recipe.parent / "build", ("pi",))


def written(prepared: Prepared) -> Any:
    return json.loads((prepared.build_dir / "recipe/pi/report.json").read_text())


def test_estimates_are_told_and_come_when_all_else_is_written(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    watching = Remarks()
    with monkeypatch.context() as patched:
        patched.setattr("edgekit.pipeline.shipped_estimates.estimate_artifact", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(prepared, watching)
    assert watching.lines.count(COUNTING) == 2  # of the gate: the int8 file and its float
    assert written(prepared)["estimates"] is None
    assert len(History(prepared.store.root).entries()) == 1

    (report,) = run(prepared, watching).reports
    assert report.estimates
    assert written(prepared)["estimates"] == report.estimates.model_dump(mode="json")
    page = (prepared.build_dir / "recipe/pi/report.md").read_text()
    assert report.estimates.lines[0] in page
    assert report.operators
    assert {*report.operators.tables, *report.operators.missing} == {"onnxruntime"}
    assert report.operators.lines[0] in page
    for table in report.operators.tables.values():  # none where other jobs disturb it
        assert any(one.sqnr_db for one in table.operators)
