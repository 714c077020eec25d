"""The scripts of examples/: each command parses, and each script runs from end to end."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgekit.cli import cli
from edgekit.spec.recipe import load_recipe
from tests.conftest import write_images

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted([*EXAMPLES.rglob("*.sh"), *EXAMPLES.glob("ci/*.yml"), EXAMPLES / "README.md"])
COMMAND = re.compile(r"(?:^[\s#-]*(?:run: )?|`)edgekit ([a-z][^`\n]*)", re.MULTILINE)
SHELL = re.compile(r"\s(?:\d?>|\||&&).*")
"""What follows a command's own words."""
QUICK = """\
import sys
from edgekit.cli import main
from edgekit.evaluation import measure
measure.PROTOCOL |= {"warmup_seconds": 0.05, "seconds": 0.2, "rounds": 40}
main()
"""


def commands_in(text: str) -> Iterator[list[str]]:
    for line in COMMAND.findall(text.replace("\\\n", " ")):
        words = shlex.split(SHELL.sub("", line), comments=True)
        yield [word for word in words if word != "$@"]


def parse(words: list[str]) -> None:
    """
    Raises:
        click.UsageError: an option is unknown, or arguments are missing.
    """
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words[0]]
        words = words[1:]
    command.make_context(str(command.name), words)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_command_parses(script: Path) -> None:
    found = list(commands_in(script.read_text(encoding="utf-8")))
    assert found
    for words in found:
        parse(words)


def test_a_wrong_option_would_be_found() -> None:
    (words,) = commands_in('  - edgekit build "$RECIPE" --targets rpi | tee log')
    with pytest.raises(click.UsageError, match="--targets"):
        parse(words)


def test_the_readme_has_all() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        assert path.name in text or path.name in ("README.md", "__pycache__")


@pytest.mark.parametrize("recipe", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda p: p.parent.name)
def test_recipes_are_named_like_their_folders(recipe: Path) -> None:
    assert load_recipe(recipe).name == recipe.parent.name


def run(folder: Path, *words: object) -> str:
    """A script with the commands of this Python, which measure latency in less time."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "quick.py").write_text(QUICK)
    for name, arguments in (("edgekit", [str(programs / "quick.py")]), ("python", [])):
        words_of = shlex.join([sys.executable, *arguments])
        (programs / name).write_text(f'#!/bin/sh\nexec {words_of} "$@"\n')
        (programs / name).chmod(0o755)
    paths = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(EXAMPLES.parent),
        "EDGEKIT_STORE": str(folder / "store"),
    }
    done = subprocess.run(
        ["sh", *map(str, words)], cwd=folder, env=os.environ | paths, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_own_photos(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", count=60)
    options = ["--arch", "test_efficientnet", "--weights", "scratch", "--image-size", "32"]
    said = run(tmp_path, EXAMPLES / "own_photos.sh", "photos", *options, "--epochs", "20")
    *_, photo, best, _, _ = said.splitlines()
    assert (photo, best.split()[0]) == ("photos/bar/00.png", "bar")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "made"),
    [
        (
            "onnx_three_targets",
            {"rpi/onnxruntime/model.onnx", "intel-npu/openvino/model.xml", "x86-cpu/manifest.json"},
        ),
        (
            "keras_android",
            {f"android/litert{form}/model.tflite" for form in ("", "-integer", "-float16")},
        ),
    ],
)
def test_a_model_of_ones_own(tmp_path: Path, name: str, made: set[str]) -> None:
    for folder in (name, "own_data"):
        shutil.copytree(EXAMPLES / folder, tmp_path / folder)
    said = run(tmp_path, f"{name}/run.sh")
    for file in made:
        assert (tmp_path / name / "build" / name / file).is_file()
    *_, photo, best, _, _ = said.splitlines()
    assert (photo, best.split()[0]) == ("photos/round/000.png", "round")
