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
from edgekit.model_search.expected_gain import Bounds
from edgekit.model_search.study import Asked, CandidateStudy, Outcome
from tests.mutations import damaged, fuzz, refusals

AXES: dict[str, list[Any]] = {"a": [3, 1, 2], "b": ["x", "y"], "c": [{"k": 1}, {"k": 2}]}


def answer(study: CandidateStudy, asked: Asked) -> None:
    a, c = asked.settings["a"], asked.settings["c"]["k"]
    trained = (a, c) != (3, 2)
    outcome = Outcome(a - c if trained else None, a * c, c, failed=False)
    study.tell(asked, outcome, {"settings": asked.settings})


def settled(study: CandidateStudy) -> list[Any]:
    return [record["settings"] for record in study.records]


def go_on(study: CandidateStudy, most: int = 99) -> None:
    """To its end, as many candidates asked for at a time."""
    while asked := study.ask_round(most):
        for one in asked:
            answer(study, one)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    study = CandidateStudy(tmp_path_factory.mktemp("study") / "whole.log", AXES, 0)
    go_on(study)
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
        for one in study.ask_round(99)[:5]:
            answer(study, one)
        written = journal.read_bytes().splitlines(keepends=True)
        kept = written[: max(2, len(written) - lines)]
        journal.write_bytes(b"".join(kept)[:-3] if lines % 2 else b"".join(kept))
    study = CandidateStudy(journal, AXES, 0)
    go_on(study)
    assert settled(study) == undisturbed


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = CandidateStudy(tmp_path / "full.log", AXES, 0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    with pytest.raises(StorageError, match="no space left on the disk"):
        study.ask_round(1)


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
    answer(study, study.ask_round(1)[0])
    with pytest.raises(InputError, match="no journal of a search: KeyError"):
        CandidateStudy(tmp_path / "j.log", {"other": [1, 2]}, 0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    journal = tmp_path_factory.mktemp("study") / "written.log"
    study = CandidateStudy(journal, AXES, 0)
    for one in study.ask_round(3):
        answer(study, one)
    return journal.read_bytes()


@fuzz
@given(data=st.data())
def test_any_damage_is_read_or_refused(tmp_path: Path, written: bytes, data: st.DataObject) -> None:
    journal = tmp_path / "fuzz.log"
    journal.write_bytes(data.draw(damaged(written)))
    with refusals():
        study = CandidateStudy(journal, AXES, 0)
        assert all(isinstance(record, dict) for record in study.records)
        study.ask_round(1)


@pytest.mark.parametrize("told", [1, 3, 7])
def test_a_round_that_is_stopped_is_told_to_its_end(
    tmp_path: Path, undisturbed: list[Any], told: int
) -> None:
    journal = tmp_path / "stopped.log"
    rounds = []
    while asked := (study := CandidateStudy(journal, AXES, 0)).ask_round(99):
        rounds.append(len(asked))
        for one in asked[:told]:
            answer(study, one)
    assert rounds[:2] == [8, max(8 - told, 0) or 4]
    assert settled(CandidateStudy(journal, AXES, 0)) == undisturbed


def test_the_candidates_of_a_search_of_another_seed_are_others(tmp_path: Path) -> None:
    space = {"a": list(range(100)), "b": list(range(100))}
    one, two = (CandidateStudy(tmp_path / f"{s}.log", space, s).ask_round(99) for s in (0, 1))
    assert not [a for a in one if a.settings in [b.settings for b in two]]


def test_of_a_large_space_the_next_is_one_that_promises_much(tmp_path: Path) -> None:
    space: dict[str, list[Any]] = {"a": list(range(100)), "b": list(range(100))}
    study = CandidateStudy(tmp_path / "large.log", space, 0)
    for _ in range(3):
        for one in study.ask_round(99):
            outcome = Outcome(float(one.settings["a"]), 1.0, 1.0, failed=False)
            study.tell(one, outcome, one.settings)
    first, later = study.records[:8], study.records[8:]
    assert max(record["a"] for record in later) >= max(record["a"] for record in first)


def test_a_limit_keeps_the_next_within_it(tmp_path: Path) -> None:
    space: dict[str, list[Any]] = {"a": list(range(20))}
    study = CandidateStudy(tmp_path / "bound.log", space, 0, Bounds(latency=10))
    for _ in range(2):
        for one in study.ask_round(99):
            a = one.settings["a"]
            holds = a < 10
            outcome = Outcome(50.0 + a if holds else None, a + 0.5, 1.0, failed=False)
            study.tell(one, outcome, one.settings)
    assert [record["a"] < 10 for record in study.records[8:]] == [True] * 4
