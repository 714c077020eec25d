"""What programs rely on: schemas that hold, events, completion, and words that are explained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from edgekit.cli._progress import JsonLines
from edgekit.cli._schemas import NAMES, schema_of
from edgekit.engine.progress import Pace, ProgressEvent
from edgekit.engine.step import StepState
from edgekit.evaluation.gates import Gates, GateVerdict
from edgekit.evaluation.metrics import BUSY
from edgekit.evidence import Evidence, InvalidityCause, Status, Validity, Verdict
from edgekit.report.terms import TERMS
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Precision
from edgekit.spec.target import known_targets, load_target
from edgekit.stages import find_stages
from tests.commands import edgekit
from tests.comparison.samples import write_build

ROOT = Path(__file__).parents[2]


def told(folder: Path, *words: object) -> Any:
    done = edgekit(*words, "--json", cwd=folder, store=folder / "store")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_has_a_version(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    if name not in ("recipe", "target"):
        assert schema["$id"].rpartition(":")[2].isdigit()


def test_what_commands_print_is_of_their_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("onnx")
    write_build(tmp_path / "a/rpi")
    write_build(tmp_path / "b/rpi", wrong=range(8))
    for words in (
        ("compare", "a/rpi", "b/rpi", "--no-timing"),
        ("targets",),
        ("doctor",),
        ("explain", "prune"),
    ):
        found = told(tmp_path, *words)
        jsonschema.Draft202012Validator(schema_of(words[0])).validate(found)


def test_events_are_lines_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    watching = JsonLines()
    watching.working(1, 4, "process 1: timed")
    watching.remark("waiting for\x1b[31m a lock")
    lines = capfd.readouterr().err.splitlines()
    first, second = (ProgressEvent.model_validate_json(line) for line in lines)
    assert (first.event, first.step, first.done, first.total) == ("progress", None, 1, 4)
    assert (second.event, second.note) == ("remark", "waiting for\x1b[31m a lock")
    assert "\x1b" not in "".join(lines)


def test_events_of_a_step_have_a_forecast(capfd: pytest.CaptureFixture[str]) -> None:
    clock, step = iter([0.0, 10.0]), SimpleNamespace(id="finetune", key="k")
    watching = JsonLines()
    watching._paces["k"] = Pace(lambda: next(clock))
    for done in (1, 3):
        watching.progressed(step, done, 10, "epoch 1/2")  # type: ignore[arg-type]
    events = map(ProgressEvent.model_validate_json, capfd.readouterr().err.splitlines())
    assert [event.seconds_left for event in events] == [None, 35.0]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_script(shell: str, tmp_path: Path) -> None:
    script = edgekit("completion", shell, cwd=tmp_path, store=tmp_path).stdout
    assert "_EDGEKIT_COMPLETE" in script
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def completed(folder: Path, line: str) -> list[str]:
    words = line.split(" ")
    asked = {"_EDGEKIT_COMPLETE": "bash_complete", "COMP_WORDS": line.strip()}
    environment = os.environ | asked | {"COMP_CWORD": str(len(words) - 1)}
    environment |= {"XDG_CONFIG_HOME": str(folder), "PYTHONPATH": str(ROOT)}
    code = "import sys; sys.argv[0] = 'edgekit'; from edgekit.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [found.partition(",")[2] for found in done.stdout.splitlines()]


def test_recipes_targets_and_devices_are_completed(tmp_path: Path) -> None:
    (tmp_path / "photos.yaml").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "edgekit").mkdir()
    device = "pi5: {transport: ssh, host: pi@board}\n"
    (tmp_path / "edgekit/devices.yaml").write_text(device)
    assert completed(tmp_path, "edgekit build ph") == ["photos/", "photos.yaml"]
    assert "rpi5" in completed(tmp_path, "edgekit build photos.yaml --target rpi")
    assert "compare" in completed(tmp_path, "edgekit comp")


def printed_words() -> Iterator[str]:
    """Every verdict, evidence, stage, target, variant, precision and gate that edgekit prints."""
    yield from (*find_stages(), *Gates.model_fields, *TERMS, *find_runtimes(), "float32", BUSY)
    for words in (GateVerdict, Verdict, Status, Validity, InvalidityCause, Evidence, StepState):
        yield from words
    yield from get_args(Precision)
    for target in map(load_target, known_targets()):
        yield target.name
        yield from (variant.name for variant in target.variants)


def test_every_word_that_is_printed_is_explained(tmp_path: Path) -> None:
    from edgekit.setup.explain import explain

    for word in printed_words():
        assert explain(word)[0].text
    assert {one.kind for one in explain("broken")} == {"verdict", "status"}
    done = edgekit("explain", "agreemnt", cwd=tmp_path, store=tmp_path)
    assert done.returncode == 2
    assert "agreement" in done.stderr
    said = edgekit("explain", "cannot", "tell", cwd=tmp_path, store=tmp_path)
    assert "cannot tell (verdict): " in said.stdout


def test_the_exit_codes_and_names_of_the_page_are_those_of_the_code() -> None:
    text = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    for code in ("0 done", "1 a fault", "2 wrong", "3 a gate", "4 a digest", "5 a device"):
        assert code in text
