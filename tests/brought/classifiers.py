"""A small network that knows four colours, for files of every kind, and the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import EdgekitError
from tests.models.test_foreign import CLASSES, COLOURS, SIZE, write_colours

__all__ = ["CLASSES", "COLOURS", "SIZE", "Desk"]

RECIPE = """\
model: {{weights: {weights}, {model}}}
data: {{source: imagefolder, path: images, image_size: {size}}}
stages:
  - quantize: {{method: ptq, samples: 24}}
  - export
gates: {{max_accuracy_drop: 20}}
"""
TARGET = "description: a board\nruntimes: [{}]\ncpu: cortex-a76\nthreads: 1\n"


class Answer(NamedTuple):
    """What a command left."""

    code: int
    words: str
    report: dict[str, Any]

    def figures(self, runtime: str, precision: str) -> list[float]:
        """The top-1 accuracies of a runtime's rows, in percent."""
        return [
            row["validation"]["top1"]["value"]
            for row in self.report["rows"]
            if row["runtime"] == runtime and row["precision"] == precision
        ]


class Desk:
    """A folder with images of four colours, and a store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_colours(root / "images")

    def run(self, *words: object) -> Answer:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGEKIT_STORE", str(self.root / "store"))
            result = CliRunner().invoke(cli, [*map(str, words)])
        error = result.exception
        if isinstance(error, EdgekitError):  # what the command's `main` prints, and exits with
            told = f"{result.output}{error.message}\nhint: {error.hint}"
            return Answer(error.exit_code, told, {})
        assert error is None or isinstance(error, SystemExit), error
        return Answer(result.exit_code, result.output, {})

    def build(self, file: Path | str, *runtimes: str, model: str = "input_range: 0..1") -> Answer:
        """Build a file in the folder for a target that lists runtimes."""
        recipe, target = self.root / "r.yaml", self.root / "board.yaml"
        weights = json.dumps(str(self.root / file) + "/" * str(file).endswith("/"))
        recipe.write_text(RECIPE.format(weights=weights, model=model, size=SIZE))
        target.write_text(TARGET.format(", ".join(runtimes or ("onnxruntime",))))
        out = self.root / "build"
        answer = self.run("build", recipe, "--target", target, "--build-dir", out)
        report = out / "r/board/report.json"
        found = json.loads(report.read_text()) if report.exists() and not answer.code else {}
        return answer._replace(report=found)

    def commands(self, file: Path, original: Path) -> dict[str, Answer]:
        """What every command that takes a model file says of one, with its float original."""
        pixels = ("--images", self.root / "images/red", "--mean", "0", "--std", "1")
        out = self.root / f"bundle-{file.name}"
        shutil.rmtree(out, ignore_errors=True)
        return {
            "inspect": self.run("inspect", file, "--float", original, *pixels),
            "estimate": self.run("estimate", file, "--target", "x86-cpu", "--json"),
            "bundle": self.run("bundle", file, *pixels, "--out", out),
        }
