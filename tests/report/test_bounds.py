"""What a build says of a latency that no device measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.engine.artifact import Metadata
from edgekit.engine.store import Store
from edgekit.errors import IntegrityError
from edgekit.report.bounds import bounds_of


def test_a_cached_file_that_was_damaged_is_told_as_that(tmp_path: Path) -> None:
    """Nothing else reads it where every step is cached."""
    store = Store(tmp_path)
    with store.workspace() as folder:
        (folder / "model.onnx").write_bytes(b"as it was stored")
        artifact = store.commit("0" * 64, folder, Metadata(), (), 0.0)
    file = artifact.path / "model.onnx"
    file.chmod(0o644)
    file.write_bytes(b"as it is by now.")
    shipped = SimpleNamespace(row=SimpleNamespace(runtime="onnxruntime"), artifact=artifact)
    spec = SimpleNamespace(cpu="cortex-a76", threads=4)
    target: Any = SimpleNamespace(
        plan=SimpleNamespace(target=spec), shipped={"onnxruntime": shipped}
    )
    with pytest.raises(IntegrityError, match="is not what was stored"):
        bounds_of(target)
