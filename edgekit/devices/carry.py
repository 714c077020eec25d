"""Lay a bundle where a stick or another way will carry it."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgekit.devices.bundle import Bundle
from edgekit.errors import InputError, storage_errors


def write_out(bundle: Bundle, out: Path) -> None:
    """Write a bundle as a tar, or as a folder that `run.sh` runs in.

    Raises:
        InputError: something else lies there.
    """
    with storage_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".tar":
            bundle.write_tar(out)
            return
        if out.exists() and any(out.iterdir()) and not (out / "bundle.json").exists():
            raise InputError(f"{out} holds other files", hint="name a folder that is not there yet")
        part = out.with_name(f".{out.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for name, path in bundle.files.items():
            shutil.copyfile(path, part / name)
        shutil.rmtree(out, ignore_errors=True)
        part.rename(out)
