"""A wheel that ends on the core is refused before it is sent; what was not tried is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.devices.emulated_wheel import core_named, refuse_dying
from edgekit.errors import InputError
from edgekit.runtimes import find_runtimes
from edgekit.transports.emulation.tree import tree_path
from tests.emulated import emulated

RUNTIME = find_runtimes()["onnxruntime"]()
PI4 = "a Cortex-A72, the processor of pi4"
PYTHON = """#!/bin/sh
case $2 in
  "import onnxruntime") {imported} ;;
  *) test -e agent.py && test -e int8.onnx && test "$3" = onnxruntime && {ran} ;;
esac
"""


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of an emulated Cortex-A72, which is not there yet."""
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    monkeypatch.setattr("edgekit.devices.emulated_wheel.shutil.which", lambda name: name)
    return tree_path("cortex-a72", tmp_path / "emulated") / "commands" / "python3"


@pytest.mark.parametrize(
    ("imported", "ran", "step"),
    [
        ("true", "exit 0", None),
        ("kill -ILL $$", "exit 0", "is imported"),
        ("true", "kill -ILL $$", "runs a tiny model"),
    ],
)
def test_it_is_imported_and_runs_tiny_models(
    python: Path, imported: str, ran: str, step: str | None
) -> None:
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(imported=imported, ran=ran))
    python.chmod(0o755)
    if step is None:
        refuse_dying(RUNTIME, "cortex-a72", PI4)
        return
    with pytest.raises(InputError, match=f"ends in signal SIGILL as it {step} on {PI4}"):
        refuse_dying(RUNTIME, "cortex-a72", PI4)


def test_what_was_not_tried_is_told(python: Path) -> None:
    heard: list[str] = []
    refuse_dying(RUNTIME, "cortex-a72", PI4, heard.append)
    assert "was not tried on an emulated Cortex-A72" in heard[0]
    refuse_dying(RUNTIME, core_named("an x86 processor"), PI4, heard.append)
    assert len(heard) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["litert", "onnxruntime"])
def test_the_real_wheels_run_on_a_pi_4(name: str) -> None:
    emulated("cortex-a72")
    refuse_dying(find_runtimes()[name](), "cortex-a72", PI4, pytest.fail)
