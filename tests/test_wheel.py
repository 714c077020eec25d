"""The wheel without extras, in a virtual environment of its own: small, and whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.light import Desk, desk_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[1]
MOST_BYTES = 150_000_000
"""Of a fresh virtual environment with edgekit in it, pip and all: the bytes of its files, which no
file system's blocks change."""


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
    sizes = sizes_in(installed)
    heaviest = sorted(sizes.items(), key=lambda one: -one[1])[:12]
    told = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in heaviest)
    total = sum(sizes.values())
    assert total < MOST_BYTES, f"{total / 1e6:.1f} MB, of which {told}"


def sizes_in(environment: Path) -> Counter[str]:
    """Bytes by package; what is in none is called by its folder in the environment."""
    found: Counter[str] = Counter()
    for path in environment.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        parts = path.relative_to(environment).parts
        after = parts.index("site-packages") + 1 if "site-packages" in parts else 0
        found[parts[after]] += path.stat().st_size
    return found


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
