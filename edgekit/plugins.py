"""Plug-ins are found by their file: the file name is the name in the YAML."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any

from edgekit import datasets, runtimes, stages
from edgekit.datasets.base import Source
from edgekit.runtimes.base import Runtime
from edgekit.stages.base import Stage


@cache
def find_stages() -> dict[str, type[Stage]]:
    return _find(stages, Stage)


@cache
def find_runtimes() -> dict[str, type[Runtime]]:
    return _find(runtimes, Runtime)


@cache
def find_sources() -> dict[str, type[Source]]:
    return _find(datasets, Source)


def _find(package: ModuleType, base: type) -> dict[str, Any]:
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.name == "base" or info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        own = [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, base)
            and value.__module__ == module.__name__
        ]
        assert len(own) == 1, f"{module.__name__} must define one {base.__name__}, not {len(own)}"
        found[info.name] = own[0]
    return found
