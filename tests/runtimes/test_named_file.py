"""A model file that a user names is read in a process that can do no harm."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from edgekit.errors import EdgekitError
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.description import Description
from edgekit.runtimes.contract.named_file import describe_named
from edgekit.runtimes.contract.reader import Reader
from tests.devices.tiny import write_model
from tests.engine.test_confined import landlock


class Writes:
    """A library that a file makes write."""

    def describe(self, path: Path) -> Description:
        path.with_name("OWNED").write_text("x")
        raise AssertionError


def test_several_files_are_described_in_their_order(tmp_path: Path) -> None:
    runtime = find_runtimes()["onnxruntime"]()
    files = write_model(tmp_path / "a.onnx"), write_model(tmp_path / "b.onnx")
    assert describe_named(runtime, *files) == tuple(map(runtime.describe, files))
    (tmp_path / "c.onnx").write_bytes(b"none")
    with pytest.raises(EdgekitError, match=r"cannot load .*c\.onnx"):
        describe_named(runtime, tmp_path / "c.onnx")


@landlock
def test_nothing_is_written_beside_it(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="PermissionError"):
        describe_named(cast(Reader, Writes()), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
