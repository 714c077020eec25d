"""The commit that a recipe was built from, and whether it tells all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.history.commit import commit_of
from tests.history.samples import git


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """In a repository of its own, committed."""
    folder = tmp_path / "repository" / "recipes"
    folder.mkdir(parents=True)
    path = folder / "photos.yaml"
    path.write_text("name: photos")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "a recipe")
    return path


def test_outside_of_a_repository_there_is_none(tmp_path: Path) -> None:
    assert commit_of(tmp_path / "photos.yaml") is None


def test_a_clean_repository(recipe: Path) -> None:
    found = commit_of(recipe)
    assert found
    assert (found.sha, found.dirty) == (git(recipe.parent, "rev-parse", "HEAD"), False)
    assert str(found) == found.sha[:9]


def test_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert commit_of(tmp_path / "photos.yaml") is None


@pytest.mark.parametrize("name", ["photos.yaml", "code.py"])
def test_what_is_changed_makes_it_dirty(recipe: Path, name: str) -> None:
    other = recipe.with_name(name)
    other.write_text("old")
    git(recipe.parent, "add", ".")
    git(recipe.parent, "commit", "-q", "-m", "more")
    other.write_text("new")
    found = commit_of(recipe)
    assert found
    assert found.dirty
    assert str(found).endswith(" dirty")


def test_a_recipe_that_git_does_not_know_is_in_no_commit(recipe: Path) -> None:
    recipe.with_name("build.log").write_text("beside it")
    clean, other = commit_of(recipe), commit_of(recipe.with_name("new.yaml"))
    assert clean
    assert not clean.dirty
    assert other
    assert other.dirty


def test_no_program_of_the_repository_runs(recipe: Path, tmp_path: Path) -> None:
    program = tmp_path / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    git(recipe.parent, "config", "core.fsmonitor", str(program))
    commit_of(recipe)
    assert not (tmp_path / "ran").exists()
    git(recipe.parent, "status")
    assert (tmp_path / "ran").exists()


def test_the_variables_of_a_hook_name_no_other_repository(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert commit_of(recipe) is not None


def test_without_git_there_is_none(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit_of(recipe) is None
