"""A wheel that really dies on two cores: onnxruntime 1.21.0, as PyPI has it for aarch64."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgekit.devices.emulated_wheel import core_named, refuse_dying
from edgekit.errors import InputError
from edgekit.runtimes import find_runtimes
from edgekit.spec.target import load_target
from edgekit.transports.emulation.tree import QEMU, tree_path
from tests.emulated import emulated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSION = "1.21.0"
WRAPPER = """#!/bin/sh
exec {qemu} -cpu {core} -L {tree} -E PYTHONPATH={wheel}:/site -E PYTHONDONTWRITEBYTECODE=1 \
{tree}/usr/bin/python3 "$@"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--platform=manylinux_2_28_aarch64", "--only-binary=:all:", "--python-version=311",
               "--dest", str(folder), f"onnxruntime=={VERSION}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        pytest.skip(f"onnxruntime {VERSION} for aarch64 cannot be fetched: {said}")
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.parametrize(("target", "dies"), [("rpi4", True), ("rpi5", False)])
def test_it_is_refused_for_the_core_it_dies_on(
    target: str, dies: bool, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = core_named(load_target(target).cpu)
    assert core
    device = emulated(core)
    tree = tree_path(core, device.root)
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    python = tree_path(core, tmp_path / "emulated") / "commands" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text(WRAPPER.format(qemu=QEMU, core=core, tree=tree, wheel=wheel))
    python.chmod(0o755)
    said = subprocess.run(
        [str(python), "-c", "import onnxruntime as o; print(o.__version__)"],
        capture_output=True, text=True,
    )  # fmt: skip
    runtime = find_runtimes()["onnxruntime"]()
    if not dies:
        assert said.stdout.strip() == VERSION, said.stderr
        refuse_dying(runtime, core, target)
        return
    with pytest.raises(InputError, match=f"ends in signal SIGILL as it is imported on {target}"):
        refuse_dying(runtime, core, target)
