"""Pack a bundle as a tar or a folder, for a stick or another way to the device."""

from __future__ import annotations

import shlex
import shutil
from contextlib import suppress
from pathlib import Path

from edgekit.build_folder.reading import build_around
from edgekit.devices.bundle.bundle import INFO, SUMS, Bundle
from edgekit.devices.bundle.sums import read_sums
from edgekit.engine.atomic import permitted
from edgekit.errors import InputError, storage_errors


def pack_bundle(bundle: Bundle, out: Path) -> None:
    """Write a bundle as a tar, or as a folder that `run.sh` runs in, over one that lies there.

    Raises:
        InputError: as `refuse_out`.
    """
    refuse_out(out, force=True)
    with storage_errors(out.parent, "--out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".tar":
            bundle.write_tar(out)
            return
        _lay_out(bundle, out)


def refuse_out(out: Path, force: bool) -> None:
    """
    Raises:
        InputError: something else lies there, or a result that was not taken home; or a bundle that
            is not to be written over; or it would lie among what the next build replaces.
    """
    _refuse_inside_a_build(out)
    is_tar = out.suffix == ".tar"
    if not is_tar:
        _refuse(out)
    if not force and (out if is_tar else out / INFO).exists():
        raise InputError(
            f"{out} is there already, and is left as it is",
            hint="--force writes over it; or name another one",
        )


def _refuse_inside_a_build(out: Path) -> None:
    build = build_around(out)
    if build:
        raise InputError(
            f"--out {out} lies in the folder of a build, {build}: that is edgekit's own, and the "
            "next build replaces what is in it",
            hint=f"name a place outside of it, e.g. --out bundles/{shlex.quote(out.name)}",
        )


def _refuse(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file", hint="name a folder, or a file that ends .tar")
    if any(out.iterdir()) and not (out / INFO).exists():
        raise InputError(f"{out} holds other files", hint="name a folder that is not there yet")
    results = sorted(path.name for path in out.glob("result*.json"))
    if results:
        result = shlex.quote(str(out / results[0]))
        raise InputError(
            f"{out} holds {', '.join(results)}, the result of a run of the bundle that lies there",
            hint=f"edgekit import {result}, then remove it; or name another folder",
        )


def _lay_out(bundle: Bundle, out: Path) -> None:
    """Over the bundle that lies there; the sums come last, and until then run.sh refuses it."""
    old = read_sums((out / SUMS).read_text(encoding="utf-8")) if (out / SUMS).exists() else {}
    # Within the folder: it may be where a drive is mounted.
    part = out / ".part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, path in bundle.files.items():
        shutil.copyfile(path, part / name)
        if name.endswith(".sh"):
            with suppress(OSError):  # a FAT drive has no modes: `sh run.sh` works there
                (part / name).chmod(permitted(0o777))
    for name in old.keys() - bundle.files.keys():
        (out / name).unlink(missing_ok=True)
    for name in bundle.files:
        (part / name).replace(out / name)
    part.rmdir()
