"""What is told of a package that is missing is what pyproject.toml installs."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import edgekit
from edgekit import packages
from edgekit.errors import MissingPackage
from edgekit.packages import EXTRAS, missing_package, need_extra

PACKAGE = Path(edgekit.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
THROUGH = {
    "onnx_ir": "onnxscript",
    "huggingface_hub": "timm",
    "h5py": "tensorflow",
    "keras": "tensorflow",
}
"""Distributions that another one brings, which pyproject.toml names."""
TRIED = {"pillow_heif", "flatbuffers", "tflite_runtime"}
"""Modules that edgekit goes without, or that come with one it has."""
SMALL = ("run", "heif", "mlflow", "serve", "docs")
"""Extras that build nothing."""
ALWAYS = {
    "click", "filelock", "jinja2", "markdown_it", "markupsafe", "numpy", "packaging", "pydantic",
    "pydantic_core", "yaml", "rich", "edgekit",
}  # fmt: skip


def brought_by(extra: str) -> set[str]:
    found = set()
    for line in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            found |= {name for each in requirement.extras for name in brought_by(each)}
        found.add(requirement.name)
    return found


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_it_is_named_for(extra: str) -> None:
    for distribution in EXTRAS[extra].modules.values():
        assert THROUGH.get(distribution, distribution) in brought_by(extra)


def test_every_module_that_may_be_missing_has_an_extra() -> None:
    known = {module for extra in EXTRAS.values() for module in extra.modules}
    free = known | TRIED | ALWAYS | set(sys.stdlib_module_names)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            assert {name.split(".")[0] for name in names} <= free, path


@pytest.mark.parametrize("extra", sorted({*PROJECT["optional-dependencies"]} - {*SMALL}))
def test_whoever_builds_has_what_every_build_needs(extra: str) -> None:
    assert brought_by("build") <= brought_by(extra)


def test_a_context_says_what_it_is_for_and_which_extra() -> None:
    told = packages.told("inspect for ONNX Runtime", "onnxruntime")
    with pytest.raises(MissingPackage, match="inspect for ONNX Runtime needs") as caught, told:
        raise ModuleNotFoundError(name="onnx.helper")
    assert caught.value.hint == "pip install 'edgekit-vision[onnxruntime]'"


def test_a_module_of_nobodys_stays_a_fault() -> None:
    assert missing_package(ModuleNotFoundError(name="edgekit.nothing")) is None
    with pytest.raises(ModuleNotFoundError), packages.told():
        raise ModuleNotFoundError(name="nothing")


def test_the_first_that_is_missing_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "timm" else 1)
    with pytest.raises(MissingPackage, match="building a model needs the package timm"):
        need_extra("build")
    need_extra("run")
