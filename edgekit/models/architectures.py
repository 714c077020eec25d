"""The names of architectures: which there are, told without importing torch where that can be."""

from __future__ import annotations

import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path

from edgekit.errors import InputError, MissingPackage
from edgekit.models.source import TORCHVISION

REGISTERED = re.compile(r"^@register_model(?:\(\))?\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
"""How timm and torchvision register an architecture in their source."""


def refuse_unknown(arch: str, key: str = "model.arch") -> None:
    """Only a name that the libraries' source does not show costs the import of torch.

    Raises:
        InputError: no such architecture, with the nearest names.
        MissingPackage: the library is not installed.
    """
    library, name = library_of(arch)
    if importlib.util.find_spec(library) is None:
        raise MissingPackage(library, "build", f"{key}: {arch}")
    base, _, tag = name.partition(".")
    if base in registered(library) and not tag:
        return
    if library == "torchvision":
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
        found = name in known
    else:
        import timm

        known, found = timm.list_models(), timm.is_model(base)
        if found and tag:
            try:
                timm.get_pretrained_cfg(name)
            except RuntimeError:
                known, found = timm.list_pretrained(f"{base}.*") or [base], False
    if not found:
        raise _unknown(arch, name, known, library, key)


def library_of(arch: str) -> tuple[str, str]:
    if arch.startswith(TORCHVISION):
        return "torchvision", arch.removeprefix(TORCHVISION)
    return "timm", arch


@cache
def registered(library: str) -> frozenset[str]:
    """The architectures that a library's source registers, by their names."""
    spec = importlib.util.find_spec(library)
    folders = [Path(f) / "models" for f in (spec and spec.submodule_search_locations) or ()]
    files = [path for folder in folders for path in folder.glob("*.py")]
    return frozenset(
        n
        for f in files
        for n in REGISTERED.findall(f.read_text(encoding="utf-8", errors="replace"))
    )


def _unknown(arch: str, name: str, known: list[str], library: str, key: str) -> InputError:
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    prefix = TORCHVISION if library == "torchvision" else ""
    return InputError(
        f"{key}: {library} knows no architecture {arch!r}",
        hint=f"nearest: {', '.join(prefix + n for n in near)}"
        if near
        else f"{library} lists them: list_models()",
    )
