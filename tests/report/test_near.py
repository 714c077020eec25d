"""Pictures of the judged split that were trained on in another size are named with their twin."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data.inventory import take_inventory
from edgekit.data.near_duplicates import Twins
from edgekit.data.size import Size
from edgekit.data.sources.imagefolder import ImageFolder
from edgekit.data.splits import SplitData
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.pipeline.draft import SPLITS, Draft, images
from edgekit.report import near
from edgekit.report.near import near_problem


def build_of(source: ImageFolder, store: Store, *splits: str) -> Any:
    recipe: Any = SimpleNamespace(data=source)
    draft = Draft(recipe, take_inventory(source, store.root))
    draft.add(SPLITS, SplitData(source, draft.inventory), {})
    for split in splits:
        draft.add(images(split), draft.decode(split), {"splits": SPLITS})
    with Executor(store, Silent()) as executor:
        for step in draft.steps.values():
            executor.perform(step)
        return SimpleNamespace(plan=SimpleNamespace(recipe=recipe), artifacts=executor.artifacts)


def test_a_twin_in_the_training_split(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (16, 9, 9, 3), np.uint8)
    for i, pixels in enumerate(coarse):
        picture = Image.fromarray(pixels).resize((240, 160), Image.Resampling.BICUBIC)
        into = tmp_path / "images" / ("train" if i < 8 else "val") / "ab"[i % 2]
        into.mkdir(parents=True, exist_ok=True)
        picture.save(into / f"{i}.png")
        if i == 3:
            twin = tmp_path / "images/val/b/twin.jpg"
            twin.parent.mkdir(parents=True)
            picture.resize((480, 320)).save(twin)
    (tmp_path / "images/val/b/bad.png").write_bytes(b"no picture")
    source = ImageFolder(
        source="imagefolder",
        path=tmp_path / "images",
        image_size=Size.square(160),
        unreadable="skip",
    )
    build = build_of(source, store, "train", "validation")
    (problem,) = near_problem(build)
    assert problem.count == 1
    assert problem.example == "val/b/twin.jpg and train/b/3.png"
    assert problem.words.startswith("1 validation image seems to stand in the train split too")
    assert near_problem(build_of(source, store, "validation")) == []
    monkeypatch.setattr(near, "_twins", lambda *_: Twins({}, 5))
    (problem,) = near_problem(build)
    assert "as a whole for 5 validation images" in problem.words
    monkeypatch.setattr(near, "_twins", lambda *_: None)
    (problem,) = near_problem(build)
    assert problem.words.endswith("a split has more than 100,000 images")
