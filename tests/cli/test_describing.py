"""What there is to write and to build for, and what a machine lacks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.setup import needs
from edgekit.spec.target import known_targets
from edgekit.stages import find_stages
from tests.commands import edgekit

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch}
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - finetune: {epochs: 1}
  - export
"""


def said(folder: Path, *words: str, code: int = 0) -> str:
    done = edgekit(*words, cwd=folder, store=folder / "store")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr * bool(code)


def told(folder: Path, *words: str) -> Any:
    return json.loads(said(folder, *words, "--json"))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is always needed is installed."""
    always = {need.name: need.installed for need in needs.needs()}
    monkeypatch.setattr(
        needs, "library_versions", lambda names: {n: always.get(n) or "absent" for n in names}
    )


def test_every_target_and_stage_is_listed(tmp_path: Path) -> None:
    assert {target["name"] for target in told(tmp_path, "targets")} == set(known_targets())
    assert set(told(tmp_path, "stages")) == set(find_stages())
    assert "litert" in said(tmp_path, "targets")


def test_a_stage_has_its_keys_with_type_default_and_words(tmp_path: Path) -> None:
    samples = told(tmp_path, "stages", "quantize")["quantize"]["keys"]["samples"]
    assert samples["type"] == "integer >= 1, <= 10,000,000"
    assert (samples["default"], samples["required"]) == (256, False)
    assert samples["description"] == "Calibration images."
    lines = said(tmp_path, "stages", "finetune").splitlines()
    assert "  epochs: integer >= 1, <= 100,000, required" in lines
    assert "      rotate: number >= 0, <= 180, default 0.0" in lines
    assert "did you mean 'quantize'?" in said(tmp_path, "stages", "quantise", code=2)


@pytest.mark.usefixtures("bare")
def test_what_is_missing_comes_with_its_pip_line(tmp_path: Path) -> None:
    targets = {target["name"]: target for target in told(tmp_path, "targets")}
    assert not targets["rpi"]["ready"]
    assert targets["android"]["install"] == "pip install 'edgekit-vision[litert]'"
    words = said(tmp_path, "doctor", code=2)
    assert "nothing can be built on this machine yet" in words
    assert "hint: pip install" in words


def test_the_doctor_tells_what_is_installed(tmp_path: Path) -> None:
    found = told(tmp_path, "doctor")
    always = {library["name"]: library["fits"] for library in found["libraries"][""]}
    assert always["click"]
    assert found["host"]["cores"] > 0
    assert "processes wanted a core" in said(tmp_path, "doctor")


def test_the_doctor_looks_at_a_recipe(images_folder: Path) -> None:
    folder = images_folder.parent
    (folder / "r.yaml").write_text(RECIPE)
    found = told(folder, "doctor", "r.yaml")
    assert found["faults"] == []
    assert found["decoded_bytes"] == int(48 * 32 * 32 * 3 * 1.15**2)
    (folder / "r.yaml").write_text(RECIPE.replace("weights: scratch", "weights: w.pth"))
    assert "w.pth does not exist" in said(folder, "doctor", "r.yaml", code=2)
    (folder / "r.yaml").write_text(RECIPE.replace("path: images", "path: nowhere"))
    assert "nowhere does not exist" in said(folder, "doctor", "r.yaml", code=2)
