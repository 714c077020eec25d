"""The wheel without extras, in a virtual environment of its own: small, and whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.light import Desk, desk_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[1]
MOST_BYTES = 150_000_000
"""Of a fresh virtual environment with edgekit in it, pip and all."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel."""
    root = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", root, ROOT], check=True)
    (wheel,) = root.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
    python = root / "venv/bin/python"
    words = f"-m pip --quiet install --constraint {ROOT}/constraints.txt {wheel}"
    subprocess.run([python, *words.split()], check=True)
    return root / "venv"


@pytest.fixture(scope="module")
def desk(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return desk_in(tmp_path_factory.mktemp("desk"), installed / "bin/python", environment)


def test_it_is_small(installed: Path) -> None:
    done = subprocess.run(["du", "-s", "-B1", installed], capture_output=True, text=True)
    assert int(done.stdout.split()[0]) < MOST_BYTES


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "targets",
        "stages",
        "schema report",
        "compare good/rpi worse/rpi --html page.html",
        "compare pi4 pi5 --json",
        "import stick/result.json",
    ],
)
def test_it_works(desk: Desk, line: str) -> None:
    done = desk.run(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_doctor_says_which_extra_builds(desk: Desk) -> None:
    done = desk.run("doctor")
    assert done.returncode == 2  # nothing can be built here
    assert "hint: pip install 'edgekit-vision[" in done.stderr
