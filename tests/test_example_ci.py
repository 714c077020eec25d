"""The workflows of examples/ci: all but the build itself, with the services' programs faked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgekit.build_folder.reading import read_report
from edgekit.report.render import render_markdown
from tests.comparison.samples import write_build

pytest.importorskip("onnxruntime")

CI = Path(__file__).parents[1] / "examples/ci"
BUILD = "photos/rpi"
GH = """\
echo "$@" >> calls
case "$1 $2" in
  "run list") echo 7 ;;
  "run download") cp -r of-main/build main ;;
esac
"""
CURL = """\
echo "$@" >> calls
case "$*" in
  *main.zip*) (cd of-main && python -m zipfile -c ../main.zip build) ;;
esac
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A build of main's, and programs that stand for those of the services."""
    write_build(tmp_path / "of-main/build" / BUILD)
    programs = tmp_path / "programs"
    programs.mkdir()
    edgekit, python = f'exec {sys.executable} -m edgekit "$@"', f'exec {sys.executable} "$@"'
    for name, text in {"gh": GH, "curl": CURL, "edgekit": edgekit, "python": python}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return tmp_path


def write_own(desk: Path, wrong: range) -> None:
    folder = write_build(desk / "build" / BUILD, wrong=wrong)
    report = read_report(folder)
    assert report
    (folder / "report.md").write_text(render_markdown(report), encoding="utf-8")


def shell(desk: Path, script: str, **variables: str) -> int:
    """As both services run a step: bash, ended by the first command that fails."""
    paths = {
        "PATH": f"{desk / 'programs'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CI.parents[1]),
        "EDGEKIT_STORE": str(desk / "store"),
        "BUILD": BUILD,
    }
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(words, cwd=desk, env=os.environ | paths | variables).returncode


def read(name: str) -> Any:
    return yaml.safe_load((CI / name).read_text(encoding="utf-8"))


def github(desk: Path, own: str = "true") -> int:
    """The exit code of the comparison."""
    steps = {
        step.get("name"): step.get("run") for step in read("github.yml")["jobs"]["build"]["steps"]
    }
    named = {"GITHUB_WORKFLOW": "edgekit", "GITHUB_STEP_SUMMARY": str(desk / "summary.md")}
    assert shell(desk, steps["The build of main"], **named) == 0
    code = shell(desk, steps["Compare"])
    assert shell(desk, steps["Comment"], PULL_REQUEST="12", OWN=own, **named) == 0
    return code


def gitlab(desk: Path) -> int:
    job = read("gitlab-ci.yml")["edgekit"]
    variables = {
        "CI_MERGE_REQUEST_IID": "12",
        "EDGEKIT_TOKEN": "secret",
        "CI_API_V4_URL": "https://gitlab.example.com/api/v4",
        "CI_PROJECT_ID": "3",
        "CI_DEFAULT_BRANCH": "main",
    }
    torch, installed, built, *rest = job["script"]
    programs = [line.split()[0] for line in (torch, installed, built)]
    assert programs == ["pip", "pip", "edgekit"]
    code = shell(desk, "\n".join(rest), **variables)
    assert shell(desk, "\n".join(job["after_script"]), **variables) == 0
    return code


@pytest.mark.parametrize("service", [github, gitlab])
@pytest.mark.parametrize(("wrong", "code"), [(range(0), 0), (range(8), 3)])
def test_what_is_worse_than_main_fails_and_is_commented(
    desk: Path, service: Any, wrong: range, code: int
) -> None:
    write_own(desk, wrong)
    assert service(desk) == code
    comment = (desk / "comment.md").read_text()
    assert "| variant | stage |" in comment
    assert "## " not in comment.removeprefix("# ")
    assert ("accuracy is worse: 20.0 points lower" in comment) == (code == 3)
    *_, last = (desk / "calls").read_text().splitlines()
    assert "pr comment 12" in last or last.endswith("/projects/3/merge_requests/12/notes")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("github.yml", ["vendor.github-workflows"]),
        ("gitlab-ci.yml", ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_the_service_takes_the_file(file: str, words: list[str]) -> None:
    """By the schemas that check-jsonschema ships."""
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *words, str(CI / file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_first_build_is_compared_with_nothing(desk: Path) -> None:
    write_own(desk, range(0))
    shutil.rmtree(desk / "of-main")
    assert github(desk) == 0
    assert "Against main" not in (desk / "comment.md").read_text()


def test_a_build_that_failed_early_is_told(desk: Path) -> None:
    github(desk)
    assert "No report" in (desk / "comment.md").read_text()


def test_a_fork_gets_its_table_in_the_summary(desk: Path) -> None:
    write_own(desk, range(0))
    github(desk, own="false")
    assert "pr comment" not in (desk / "calls").read_text()
    assert "| variant | stage |" in (desk / "summary.md").read_text()
