"""Temporary folders: gone afterwards, swept where their maker was killed, left alone elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.engine.temporary import LOCK, temporary_folder

KILLED = (
    "import os, pathlib, signal, sys\n"
    "from edgekit.engine.temporary import temporary_folder\n"
    "with temporary_folder(pathlib.Path(sys.argv[1])) as folder:\n"
    "    (folder / 'large').write_text('x')\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A place in which a process was killed that had a folder there."""
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)])
    assert [path.name for path in tmp_path.glob("edgekit-*/work/*")] == ["large"]
    return tmp_path


def test_a_folder_is_empty_and_gone_afterwards(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as folder:
        assert not list(folder.iterdir())
        assert folder.is_relative_to(tmp_path)
        (folder / "deep").mkdir()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_build_left_is_swept_and_nothing_else(killed: Path) -> None:
    own = [killed / "edgekit-results1", killed / "edgekit-8letters" / "work", killed / "results"]
    for path in own:
        path.mkdir(parents=True)
    linked = killed / "edgekit-a_link_1"
    linked.symlink_to(killed / "results")
    (killed / "results" / LOCK).touch()
    with temporary_folder(killed) as living, temporary_folder(killed):
        assert living.exists()
        assert len(list(killed.glob(f"edgekit-*/{LOCK}"))) == 3  # theirs, and behind the link
    assert all(path.is_dir() for path in own)
    assert (linked / LOCK).exists()


def test_the_next_build_sweeps_as_it_begins(
    killed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(killed))
    with Executor(Store(tmp_path_factory.mktemp("store")), Silent()):
        assert not list(killed.iterdir())
