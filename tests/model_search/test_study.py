"""What is asked follows from what was told, whenever the process ended."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileBackend

from edgekit.errors import InputError, StorageError
from edgekit.model_search.study import Asked, CandidateStudy, Told
from tests.mutations import damaged, fuzz, refusals

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


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\n",
        b"{}\n",
        b"[1]\n",
        b'{"op_code": 99, "worker_id": "x"}\n',
    ],
)
def test_a_damaged_journal_is_told_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    journal = tmp_path / "odd journal.log"
    journal.write_bytes(content)
    with pytest.raises(InputError, match=r"odd journal\.log is no journal of a search") as caught:
        CandidateStudy(journal, AXES, 0)
    assert caught.value.hint
    assert caught.value.hint.startswith(f"rm '{journal}'")


def test_a_journal_of_other_fields_is_refused(tmp_path: Path) -> None:
    study = CandidateStudy(tmp_path / "j.log", AXES, 0)
    if asked := study.ask():
        answer(study, asked)
    with pytest.raises(InputError, match="no journal of a search: KeyError"):
        CandidateStudy(tmp_path / "j.log", {"other": [1, 2]}, 0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    journal = tmp_path_factory.mktemp("study") / "written.log"
    study = CandidateStudy(journal, AXES, 0)
    for _ in range(3):
        if asked := study.ask():
            answer(study, asked)
    return journal.read_bytes()


@fuzz
@given(data=st.data())
def test_any_damage_is_read_or_refused(tmp_path: Path, written: bytes, data: st.DataObject) -> None:
    journal = tmp_path / "fuzz.log"
    journal.write_bytes(data.draw(damaged(written)))
    with refusals():
        study = CandidateStudy(journal, AXES, 0)
        assert all(isinstance(record, dict) for record in study.records)
        study.ask()


@pytest.mark.parametrize("ahead", [2, 5, 8, 12])
@pytest.mark.parametrize("told", [1, 3, 99])
def test_what_is_asked_ahead_is_what_is_asked_one_by_one(
    tmp_path: Path, undisturbed: list[Any], ahead: int, told: int
) -> None:
    """Also where it ends before all that was asked is told, and goes on one by one."""
    journal = tmp_path / "ahead.log"
    for most in (ahead, 1):
        study = CandidateStudy(journal, AXES, 0)
        while asked := study.ask_ahead(most):
            assert len(asked) <= most
            for one in asked[:told]:
                answer(study, one)
            if len(asked) > told:
                break
    assert settled(study) == undisturbed
