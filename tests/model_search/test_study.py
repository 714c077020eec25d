"""What is asked follows from what was told, whenever the process ended."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileBackend

from edgekit.errors import StorageError
from edgekit.model_search.study import Asked, CandidateStudy, Told

AXES: dict[str, list[Any]] = {"a": [3, 1, 2], "b": ["x", "y"], "c": [{"k": 1}, {"k": 2}]}


def answer(study: CandidateStudy, asked: Asked) -> None:
    a, c = asked.settings["a"], asked.settings["c"]["k"]
    study.tell(asked, Told(a - c, a * c, c, {"size<=1MB": c - 1.0}), {"settings": asked.settings})


def settled(study: CandidateStudy) -> list[Any]:
    return [record["settings"] for record in study.records]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    study = CandidateStudy(tmp_path_factory.mktemp("study") / "whole.log", AXES, 0)
    while asked := study.ask():
        answer(study, asked)
    return settled(study)


def test_every_candidate_is_asked_for_once(undisturbed: list[Any]) -> None:
    assert len(undisturbed) == 12
    assert len({str(one) for one in undisturbed}) == 12


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(1, 60), min_size=1, max_size=3))
def test_a_study_that_was_cut_anywhere_goes_on_alike(
    tmp_path: Path, undisturbed: list[Any], kills: list[int]
) -> None:
    journal = tmp_path / "cut.log"
    journal.unlink(missing_ok=True)
    for lines in kills:
        study = CandidateStudy(journal, AXES, 0)
        for _ in range(5):
            if asked := study.ask():
                answer(study, asked)
        written = journal.read_bytes().splitlines(keepends=True)
        kept = written[: max(2, len(written) - lines)]
        journal.write_bytes(b"".join(kept)[:-3] if lines % 2 else b"".join(kept))
    study = CandidateStudy(journal, AXES, 0)
    while asked := study.ask():
        answer(study, asked)
    assert settled(study) == undisturbed


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = CandidateStudy(tmp_path / "full.log", AXES, 0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    with pytest.raises(StorageError, match="no space left on the disk"):
        study.ask()
