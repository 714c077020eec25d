"""What a library raises inside a runtime's step ends one variant, and says whose it is."""

import errno
from pathlib import Path

import pytest

from edgekit.errors import InputError, StorageError, Unsupported
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.base import library_errors

RUNTIME = find_runtimes()["onnxruntime"]()


def test_what_a_library_raises_is_this_models_fault(tmp_path: Path) -> None:
    with (
        pytest.raises(
            Unsupported, match=r"cannot quantize this model: RuntimeError: no such kernel$"
        ),
        library_errors(RUNTIME, "quantize", tmp_path),
    ):
        raise RuntimeError("no such kernel\nat line 3")


@pytest.mark.parametrize("error", [InputError("ours"), MemoryError(), FileNotFoundError("gone")])
def test_what_is_no_fault_of_the_model_passes(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)), library_errors(RUNTIME, "quantize", tmp_path):
        raise error


def test_a_full_disk_is_no_fault_of_the_model(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="no space left"),
        library_errors(RUNTIME, "quantize", tmp_path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
