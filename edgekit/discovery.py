"""Plug-ins are found by their file: the file name is the name in the YAML."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any


def find(package: str, base: type) -> dict[str, Any]:
    """The plug-ins of a package by name: of each public module its one class that is a `base`.

    Args:
        package: its dotted name, e.g. `edgekit.runtimes`.
    """
    found = {}
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.ispkg or info.name == "base" or info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
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
