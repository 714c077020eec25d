"""What a run leaves is taken as figures, or refused with words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import Unsupported
from edgekit.evaluation.run_result import MAX_RESULT, read_result, read_scores

GOOD = {"load": 0.1, "first": 0.1, "rounds": [[0.1, 0.2]]}
HUGE = b"\x93NUMPY\x01\x00v\x00" + (
    str({"descr": "<f4", "fortran_order": False, "shape": (10**12, 2)}).encode().ljust(117) + b"\n"
)


def result(path: Path, **latency: Any) -> Path:
    path.write_text(json.dumps({"environment": {}, "latency": latency}))
    return path


def test_what_the_agent_writes_is_taken(tmp_path: Path) -> None:
    found = read_result(result(tmp_path / "r", a=GOOD, b=GOOD), "m.onnx", ["a", "b"])
    assert found.latency["b"].rounds == [[0.1, 0.2]]
    np.save(tmp_path / "s.npy", np.eye(2, dtype=np.float32))
    scores = read_scores(tmp_path / "s.npy", "m.onnx", 2, 1 << 50)
    np.testing.assert_array_equal(scores, np.eye(2))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rounds": [[0.1], [0.1, 0.2]]}, "rounds of equal length"),
        ({"rounds": []}, "latency.a.rounds"),
        ({"rounds": [[-1.0]]}, "latency.a.rounds.0.0"),
        ({"load": float("nan")}, "latency.a.load"),
    ],
)
def test_latencies_that_are_none(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported, match=f"running m.onnx leaves no figures: .*{words}"):
        read_result(result(tmp_path / "r", a={**GOOD, **changed}), "m.onnx", ["a"])


def test_a_result_is_one_of_all_models_and_of_few_bytes(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="latency: of "):
        read_result(result(tmp_path / "r", a=GOOD), "m.onnx", ["a", "b"])
    longer = {**GOOD, "rounds": [[0.1], [0.2]]}
    with pytest.raises(Unsupported, match="as many rounds of each"):
        read_result(result(tmp_path / "r", a=GOOD, b=longer), "m.onnx", ["a", "b"])
    os.truncate(tmp_path / "r", MAX_RESULT + 1)
    with pytest.raises(Unsupported, match="a plain file of 67108864 bytes at most"):
        read_result(tmp_path / "r", "m.onnx", ["a"])


@pytest.mark.parametrize(
    "leave",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: path.symlink_to("/etc/passwd"),
        lambda path: path.write_bytes(b"x"),
        lambda path: path.write_bytes(HUGE + bytes(100)),
        lambda path: path.write_bytes(bytes(1001)),
        lambda path: np.savez(path.open("wb"), a=np.zeros(3)),
        lambda path: np.save(path.open("wb"), np.zeros((2, 3, 2), np.float32)),
        lambda path: np.save(path.open("wb"), np.zeros((7, 2), np.float32)),
        lambda path: np.save(path.open("wb"), np.zeros((2, 2))),
        lambda path: np.save(path.open("wb"), np.array([[None], [None]])),
    ],
)
def test_scores_that_are_none(tmp_path: Path, leave: Callable[[Path], object]) -> None:
    leave(tmp_path / "scores.npy")
    with pytest.raises(Unsupported, match="the file of the scores is none") as refused:
        read_scores(tmp_path / "scores.npy", "m.onnx", 2, 1000)
    assert "pickle" not in str(refused.value)
