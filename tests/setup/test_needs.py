"""What is missing on a machine, and the line that installs it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import edgekit
from edgekit.errors import InputError, MissingPackage
from edgekit.models.source import ModelSource
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Variant
from edgekit.setup import needs as module
from edgekit.setup.needs import (
    extras_of,
    install_line,
    missing,
    missing_for,
    need_runtimes,
    needs,
    pip_line,
)
from edgekit.setup.target_needs import target_needs
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import load_target

RECIPES = Path(edgekit.__file__).parents[1] / "recipes"

LINES = [
    "click>=8.1",
    "onnx>=1.20; extra == 'onnxruntime'",
    "ai-edge-litert>=2.1; extra == 'litert'",
    "nncf>=2.19; extra == 'intel-npu'",
    "torch>=2.9; extra == 'build'",
    "tensorflow>=2.20; extra == 'keras'",
    "edgekit-vision[onnxruntime]; extra == 'keras'",
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(**versions: str) -> None:
        names = {name.replace("_", "-"): version for name, version in versions.items()}
        monkeypatch.setattr(metadata, "requires", lambda name: LINES)
        monkeypatch.setattr(
            module, "library_versions", lambda asked: {n: names.get(n, "absent") for n in asked}
        )

    return install


def test_what_is_absent_or_too_old_is_missing(installed: Callable[..., None]) -> None:
    installed(click="8.1.7", onnx="1.19.0", torch="2.9.0")
    assert [need.name for need in needs()] == ["click"]
    lacking = missing_for(load_target("rpi"))
    assert pip_line(lacking) == "pip install 'ai-edge-litert>=2.1' 'onnx>=1.20'"


def test_what_a_runtime_lacks_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "nncf" else find(name)
    )
    recipe = load_recipe(RECIPES / "mobilenet_int8.yaml")
    need_runtimes(recipe, [load_target("rpi")])
    with pytest.raises(MissingPackage, match="OpenVINO needs the package nncf") as caught:
        need_runtimes(recipe, [load_target("rpi"), load_target("x86-cpu")])
    assert caught.value.hint == "pip install 'edgekit-vision[intel-npu]'"
    model = ModelSource(weights=str(tmp_path / "m.onnx"), input_range="0..1")
    need_runtimes(recipe.model_copy(update={"model": model}), [load_target("x86-cpu")])


def test_where_much_is_missing_extras_are_named(installed: Callable[..., None]) -> None:
    installed(click="8.1.7")
    lacking = missing_for(load_target("rpi")) * 2
    line = install_line(load_target("rpi"), lacking, ("keras",))
    assert line == "pip install 'edgekit-vision[keras,litert,onnxruntime]'"
    assert install_line(load_target("rpi"), lacking[:1]) == pip_line(lacking[:1])


def test_an_extra_brings_what_its_extras_bring(installed: Callable[..., None]) -> None:
    installed()
    assert [need.name for need in needs("keras")] == ["onnx", "tensorflow"]
    assert "torch" in [need.name for need in missing(())]


def test_an_alternative_that_lacks_something_leaves_its_target_ready(
    installed: Callable[..., None],
) -> None:
    installed(click="8.1.7", onnx="1.20.0", ai_edge_litert="2.1", torch="2.9.0")
    found = target_needs(load_target("x86-cpu"))
    assert not found.ready
    assert found.install == "pip install 'nncf>=2.19'"
    found = target_needs(load_target("rpi"))
    assert (found.ready, found.install) == (True, None)
    assert not target_needs(load_target("rpi"), ("intel-npu",)).ready


def test_a_quantiser_of_another_maker_needs_its_extra() -> None:
    variant = Variant(runtime="onnxruntime", quantizer="nncf")
    assert extras_of(variant) == ("onnxruntime", "intel-npu")
    via = Variant(runtime="openvino", via="onnxruntime")
    assert extras_of(via) == ("intel-npu", "onnxruntime")


@pytest.mark.parametrize("name", sorted(find_runtimes()))
def test_the_extra_of_a_runtime_brings_its_engine(name: str) -> None:
    runtime = find_runtimes()[name]
    assert runtime.engine in [need.name for need in needs(runtime.extra)]


def test_a_source_folder_that_is_not_installed_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DISTRIBUTION", "nowhere")
    with pytest.raises(InputError, match="is not installed") as caught:
        needs()
    assert caught.value.hint == f"pip install -e {Path(edgekit.__file__).parents[1]}"
