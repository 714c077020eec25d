"""Fixtures: a small data set whose classes can be seen, a store, and recipes on disk."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from edgekit.engine.action import Action, Context, Progress
from edgekit.engine.artifact import Artifact, Metadata
from edgekit.engine.confinement import Confinement
from edgekit.engine.executor import Executor
from edgekit.engine.store import Store
from edgekit.evaluation import measure
from edgekit.models._tensorflow import make_way

# A deadline would fail a property where other jobs run.
settings.register_profile("edgekit", deadline=None)
settings.load_profile("edgekit")

SHAPES = ("bar", "disc")
IMAGES_A_CLASS = 24

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # What a shell starts in the background ignores Ctrl-C, with all that it starts itself.
    signal.signal(signal.SIGINT, signal.default_int_handler)
make_way()  # whichever test of a process imports TensorFlow or Keras first


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays. To look for garbage in it took a third of the time of collecting the
    tests, and a tenth of that of running them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def draw(shape: str, rng: np.random.Generator, size: int = 40) -> Image.Image:
    """A bright bar or disc somewhere on a dark, noisy ground."""
    pixels = rng.normal(60, 12, (size, size, 3))
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.integers(12, size - 12, 2)
    masks = {"disc": (y - cy) ** 2 + (x - cx) ** 2 < 8**2, "bar": abs(x - cx) < 3}
    pixels[masks[shape]] += 140
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_images(root: Path, count: int = IMAGES_A_CLASS, seed: int = 0) -> Path:
    """`count` images, all different, in a folder for each shape."""
    rng = np.random.default_rng(seed)
    for shape in SHAPES:
        (root / shape).mkdir(parents=True)
        for i in range(count):
            draw(shape, rng).save(root / shape / f"{i:02}.png")
    return root


@pytest.fixture(scope="session", autouse=True)
def hurry() -> Iterator[None]:
    """Latency is measured here too, but not as well as it can be."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("warmup_seconds", 0.05), ("seconds", 0.2), ("rounds", 40)):
            patch.setitem(measure.PROTOCOL, name, value)
        patch.setattr(measure, "PROCESSES", 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_other_command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests do not wait for the timings of other tests, nor for those of anybody's commands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_LEASE", str(tmp_path_factory.mktemp("lease") / "lease"))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_disk_is_waited_for(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is written need not outlive a power cut here; devices are folders of this machine, and
    `sync` would wait for all that other processes write."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "sync").write_text("#!/bin/sh\n")
    (programs / "sync").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setenv("PATH", str(programs), prepend=os.pathsep)
        yield


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models from elsewhere are loaded in this process, as one of their own would load the
    framework again. tests/engine/test_confined.py and test_hostile_models.py have real ones."""

    def perform(
        self: Executor,
        limits: Confinement,
        action: Action,
        given: Mapping[str, Artifact],
        folder: Path,
        progress: Progress,
    ) -> Metadata:
        return action.run(given, folder, Context(progress=progress, partial=folder))

    monkeypatch.setattr(Executor, "_confined", perform)


@pytest.fixture
def images_folder(tmp_path: Path) -> Path:
    """bar/ and disc/, 24 PNG images of 40x40 pixels each."""
    return write_images(tmp_path / "images")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[..., Path]:
    """Write the text of a recipe into the test's folder and return its path."""

    def write(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
