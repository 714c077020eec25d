"""A runtime that is installed is not yet one that runs: what `device check` tries, and says."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edgekit.devices.check import check, probe_python
from edgekit.devices.device import Device
from edgekit.devices.facts import DeviceProblem
from edgekit.devices.lock import held
from edgekit.devices.trial import FOLDER, try_runtimes
from edgekit.transports.base import Completed
from edgekit.transports.fake import Fake
from tests.devices.test_check import PI5, PYTHON, TRIED

SCORES = json.loads((FOLDER / "scores.json").read_text())


def problems(tmp_path: Path, answer: str | Completed, packages: dict[str, str]) -> DeviceProblem:
    told = json.dumps(PYTHON | {"packages": {"numpy": "2.4.6"} | packages})
    answers = PI5 | {"import json": told, "import agent": answer}
    with Device("pi4", Fake(root=str(tmp_path / "pi4"), answers=answers)) as device:
        (problem,) = check(device).problems
    return problem


@pytest.mark.parametrize("code", [132, -4])
def test_a_wheel_whose_instructions_the_processor_lacks(tmp_path: Path, code: int) -> None:
    dies = Completed(code, "", "Illegal instruction")
    problem = problems(tmp_path, dies, {"onnxruntime": "1.21.0"})
    assert problem.blocks
    assert problem.what == (
        "onnxruntime 1.21.0 ends as it is imported: signal SIGILL, an instruction that this "
        "processor does not have"
    )
    here = version("onnxruntime")
    assert problem.fix == f"edgekit device setup pi4  (it installs onnxruntime {here})"
    same = problems(tmp_path, dies, {"onnxruntime": here})
    assert f"pip install 'onnxruntime!={here}'" in same.fix


@pytest.mark.parametrize(
    ("ran", "step"), [(0, "runs a tiny float32 model"), (1, "runs a tiny int8 model")]
)
def test_it_says_where_a_runtime_ended(tmp_path: Path, ran: int, step: str) -> None:
    lines = [["imported", None], *([name, s] for name, s in SCORES.items() if "tflite" in name)]
    out = "".join(f"{json.dumps(line)}\n" for line in lines[: ran + 1])
    problem = problems(tmp_path, Completed(139, out, ""), {"ai-edge-litert": "2.3.0"})
    assert problem.what == f"ai-edge-litert 2.3.0 ends as it {step}: signal SIGSEGV"


def test_a_module_that_lacks_a_library_says_which(tmp_path: Path) -> None:
    error = "ImportError: libatomic.so.1: cannot open shared object file"
    problem = problems(tmp_path, Completed(1, "", f"Traceback\n{error}"), {"onnxruntime": "1.2"})
    assert error in problem.what


def test_a_runtime_that_computes_something_else(tmp_path: Path) -> None:
    wrong = TRIED.replace(str(SCORES["int8.onnx"][1]), "4.0")
    problem = problems(tmp_path, wrong, {"onnxruntime": "1.2"})
    assert "the scores of 1 golden images differ by up to 4.53" in problem.what


def test_the_runtimes_of_this_machine_run(tmp_path: Path) -> None:
    with Device("here", Fake(root=str(tmp_path), python=sys.executable)) as device:
        found = try_runtimes(device, probe_python(device, device.python).packages)
        assert not list(Path(device.home).iterdir()), "it leaves nothing behind"
    assert {trial.library.split()[0] for trial in found} >= {"ai-edge-litert", "onnxruntime"}
    assert [trial for trial in found if trial.fault] == []


def test_nobody_is_disturbed_who_measures(tmp_path: Path) -> None:
    with Device("pi4", Fake(root=str(tmp_path), answers=PI5)) as device, held(device, print):
        found = check(device)
    assert found.trials is None
    assert "works on it" in found.unread["trials"]
