"""Packages that edgekit works without: which extra brings each, and the line that installs it.

The one place where a missing import becomes a `MissingPackage`. Commands and the Python interface
pass everything they do through `told`; code that knows better what a package is for says so itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgekit.errors import MissingPackage


@dataclass(frozen=True)
class Extra:
    """An extra of pyproject.toml, as far as its packages are imported."""

    purpose: str
    """What needs it, as the subject of a sentence."""
    modules: dict[str, str]
    """Distributions by the module that is imported."""


EXTRAS = {
    "run": Extra(
        "reading and running models and images on this machine",
        {
            "PIL": "pillow",
            "ai_edge_litert": "ai-edge-litert",
            "onnx": "onnx",
            "onnxruntime": "onnxruntime",
        },
    ),
    "build": Extra(
        "building a model",
        {
            "huggingface_hub": "huggingface_hub",
            "safetensors": "safetensors",
            "scipy": "scipy",
            "sklearn": "scikit-learn",
            "timm": "timm",
            "torch": "torch",
            "torchvision": "torchvision",
        },
    ),
    "onnxruntime": Extra(
        "building for ONNX Runtime",
        {"onnx_ir": "onnx_ir", "onnxscript": "onnxscript", "onnxslim": "onnxslim"},
    ),
    "litert": Extra(
        "building for LiteRT",
        {"ai_edge_quantizer": "ai-edge-quantizer", "litert_torch": "litert-torch"},
    ),
    "intel-npu": Extra("OpenVINO", {"openvino": "openvino", "nncf": "nncf"}),
    "keras": Extra(
        "a Keras model",
        {"tensorflow": "tensorflow", "keras": "keras", "tf2onnx": "tf2onnx", "h5py": "h5py"},
    ),
    "prune": Extra("the prune stage", {"torch_pruning": "torch-pruning"}),
    "mlflow": Extra(
        "--to-mlflow",
        {"mlflow": "mlflow-skinny", "alembic": "alembic", "sqlalchemy": "sqlalchemy"},
    ),
    "search": Extra("edgekit search", {"optuna": "optuna"}),
    "ray": Extra("--engine ray", {"ray": "ray"}),
    "serve": Extra("edgekit serve", {"starlette": "starlette", "uvicorn": "uvicorn"}),
    "demo": Extra("data.source: elpv", {"elpv_dataset": "elpv-dataset"}),
}
"""The smallest extra that brings each module; an optional import that is only tried has none."""


def missing_package(
    error: ModuleNotFoundError, needed_by: str = "", extra: str = ""
) -> MissingPackage | None:
    """What to say of a failed import; None where the module is none that edgekit may lack.

    Args:
        needed_by: what the package is for; by default what its extra is for.
        extra: the one to install; by default the smallest that brings the package.

    >>> found = missing_package(ModuleNotFoundError(name="sklearn.linear_model"))
    >>> print(found, found.hint, sep=chr(10))
    building a model needs the package scikit-learn, which is not installed
    pip install 'edgekit-vision[build]'
    >>> missing_package(ModuleNotFoundError(name="edgekit.missing"))
    """
    module = (error.name or "").split(".")[0]
    for name, known in EXTRAS.items():
        if module in known.modules:
            return MissingPackage(known.modules[module], extra or name, needed_by or known.purpose)
    return None


@contextmanager
def told(needed_by: str = "", extra: str = "") -> Iterator[None]:
    """Turn a failed import into a `MissingPackage`; for the arguments see `missing_package`."""
    try:
        yield
    except ModuleNotFoundError as error:
        found = missing_package(error, needed_by, extra)
        if found is None:
            raise
        raise found from error


def need_extra(name: str) -> None:
    """Refuse what cannot end well before it begins.

    Raises:
        MissingPackage: the first package of the extra that is not there.
    """
    if package := first_missing(name):
        raise MissingPackage(package, name, EXTRAS[name].purpose)


def first_missing(extra: str) -> str | None:
    """The first package of an extra that is not there."""
    packages = EXTRAS[extra].modules.items()
    return next((name for module, name in packages if not importlib.util.find_spec(module)), None)
