"""A bundle without the slice it is measured with: the images are most of its bytes, and theirs."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgekit.devices.bundle.bundle import INFO, LABELS, MEASURING, SUMS, Bundle
from edgekit.devices.bundle.sums import sums_text


def without_slice(bundle: Bundle, into: Path) -> Bundle:
    """Make one in an empty folder, of the same model with the same golden images."""
    for name, path in bundle.files.items():
        if name not in {*MEASURING, LABELS, INFO, SUMS}:
            shutil.copyfile(path, into / name)
    info = bundle.info.model_copy(update={"has_slice": False})
    (into / INFO).write_text(info.model_dump_json(indent=1), encoding="utf-8")
    (into / SUMS).write_text(sums_text(into), encoding="utf-8")
    return Bundle(into)
