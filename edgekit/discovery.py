"""Plug-ins are found by their file: the file name is the name in the YAML. Here the search, and the
runtimes, which stages and measurements look up by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any

from edgekit import runtimes
from edgekit.runtimes.base import Runtime


@cache
def find_runtimes() -> dict[str, type[Runtime]]:
    return find(runtimes, Runtime)


def find(package: ModuleType, base: type) -> dict[str, Any]:
    """The plug-ins of a package by name: of each public module its one class that is a `base`."""
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
