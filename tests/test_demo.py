"""The recipe of the README, as a user runs it. Accuracy and size are asserted; time never is."""

import json
from pathlib import Path

import pytest

from edgekit.model_search.matrix import load_matrix, load_targets
from edgekit.spec.recipe import load_recipe
from tests.commands import edgekit

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    pytest.importorskip("elpv_dataset", reason="the demo's images are a package of [demo]")
    recipe = ROOT / "recipes/mobilenet_int8.yaml"
    words = ("build", recipe, "--target", "rpi", "--json")
    done = edgekit(*words, cwd=tmp_path, store=tmp_path / "store")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["status"] == "passed"
    assert {row["runtime"] for row in report["rows"]} == {"litert", "onnxruntime"}
    for row in report["rows"]:
        validation = row["validation"]
        # The shipped weights reach 83.6 % (80.3 to 86.5); 85 % is the aim, and not yet met.
        assert validation["top1"]["value"] > 80
        assert validation["top1"]["samples"] == 556
        if row["last"]:
            assert row["precision"] == "int8"
            assert validation["change"]["drop"]["value"] <= 1
            assert 1 / validation["size_ratio"]["value"] >= 3.3
    operators = report["operators"]
    assert {*operators["tables"], *operators["missing"]} == {"litert", "onnxruntime"}
    assert (tmp_path / "build/mobilenet_int8/rpi/report.html").is_file()


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_of_the_folder_can_be_planned(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("elpv_dataset", reason="the recipes' images are a package of [demo]")
    done = edgekit("plan", recipe, "--target", "rpi", cwd=tmp_path, store=tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert "rpi/choose" in done.stdout


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes/train").glob("*.yaml")))
def test_the_recipes_of_shipped_weights_can_be_read(recipe: Path) -> None:
    assert load_recipe(recipe).stages  # a plan needs the teacher, the result of another recipe


@pytest.mark.parametrize("spec", sorted((ROOT / "recipes/matrix").glob("*.yaml")))
def test_the_matrix_of_the_folder_can_be_read(spec: Path) -> None:
    matrix = load_matrix(spec)
    assert len(matrix.architectures) >= 24
    assert [target.name for target in load_targets(matrix)] == ["rpi", "intel-npu", "android"]
