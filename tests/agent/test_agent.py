"""The agent runs by itself: a job in, a result out, on the runtimes that are installed."""

import fnmatch
import glob
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.agent import agent
from edgekit.errors import DeviceError
from edgekit.evaluation import measure as measure_room
from edgekit.evaluation.measure import measure
from edgekit.evaluation.metrics import ratio_of
from edgekit.evaluation.timing import Candidate
from edgekit.evidence import Evidence
from edgekit.runtimes.contract.input_form import InputForm

RAW = InputForm(dtype="float32", mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Scores that are the means of the three channels."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["image", "axes"], ["scores"], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, 4, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(made, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (37, 4, 4, 3), np.uint8)
    np.save(tmp_path / "images.npy", values)
    return tmp_path / "images.npy"


def quiet(done: int, total: int, note: str) -> None:
    pass


def test_scores_keep_the_order_of_the_images(model: Path, images: Path) -> None:
    candidate = Candidate("a", "onnxruntime", model, RAW)
    outcome = measure([candidate], images, quiet, score=("a",), latency=False)
    expected = np.load(images).mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(outcome.scores["a"], expected, rtol=1e-5)


@pytest.mark.parametrize(("asked", "pinned"), [({}, True), ({"protocol": {"pin": False}}, False)])
def test_a_device_interleaves_on_its_fastest_cores(
    asked: dict[str, Any], pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: bound.append(cores))
    monkeypatch.setattr(agent, "max_clocks", lambda: {0: 18, 1: 18, 2: 24, 3: 24})
    monkeypatch.setattr(agent, "measure_latency", lambda job: {"bound": [*bound]})
    job = {"threads": 2, "interleaved": True, **asked}
    assert agent.interleave(job) == {"bound": [{2, 3}] if pinned else []}


def test_latency_is_interleaved_and_raw(model: Path, images: Path) -> None:
    candidates = [Candidate(name, "onnxruntime", model, RAW) for name in ("a", "b")]
    timings = measure(candidates, images, quiet).timings
    assert timings["a"].rounds.shape == timings["b"].rounds.shape
    assert len(timings["a"].rounds) >= 30
    assert (timings["a"].rounds > 0).all()


def test_processes_share_the_rounds_and_one_of_them_computes_the_scores(
    model: Path, images: Path
) -> None:
    candidates = [Candidate(name, "onnxruntime", model, RAW) for name in ("a", "b")]
    found = measure(candidates, images, quiet, score=("a",), processes=3)
    timing = found.timings["a"]
    assert len(found.scores["a"]) == len(np.load(images))
    assert timing.lengths == found.timings["b"].lengths
    assert len(timing.processes) == 3
    assert sum(timing.lengths) == len(timing.rounds) <= measure_room.PROTOCOL["rounds"] + 2
    assert "in 3 processes" in ratio_of(timing, found.timings["b"], Evidence.HOST).method


def test_a_file_that_does_not_load_is_a_device_error(images: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(DeviceError, match=r"\(broken\.onnx\) ended with exit code 1"):
        measure([Candidate("a", "onnxruntime", broken, RAW)], images, quiet)


def test_the_file_runs_alone(model: Path, images: Path, tmp_path: Path) -> None:
    form = RAW.model_dump(mode="json")
    entry = {"id": "a", "path": str(model), "runtime": "onnxruntime", "form": form}
    out = {"a": str(tmp_path / "scores.npy")}
    scores = {"images": str(images), "workers": 2, "out": out}
    (tmp_path / "job.json").write_text(
        json.dumps({"threads": 1, "models": [entry], "scores": scores})
    )
    alone = tmp_path / "agent.py"
    alone.write_text(Path(agent.__file__).read_text())
    words = [sys.executable, "-I", str(alone)]
    words += [str(tmp_path / name) for name in ("job.json", "result.json")]
    subprocess.run(words, check=True, capture_output=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["environment"]["versions"]["onnxruntime"]
    assert np.load(tmp_path / "scores.npy").shape == (37, 3)


def test_the_first_run_is_over_before_others_begin(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two come first at once, OpenVINO's module waits for itself for ever."""
    threads: list[str] = []

    def open_model(*_: object, **__: object) -> Callable[[Any], Any]:
        def run(image: Any) -> Any:
            threads.append(threading.current_thread().name)
            return np.zeros((1, 3), np.float32)

        return run

    monkeypatch.setattr(agent, "open_model", open_model)
    model = {"id": "a", "form": RAW.model_dump(mode="json")}
    agent.compute_scores({"models": [model], "scores": {"images": str(images), "workers": 2}})
    assert threads[0] == "MainThread"
    assert "MainThread" not in threads[1:]


ADC = """\
     VDD_CORE_A current(7)=1.50000000A
     VDD_CORE_V volt(15)=0.80000000V
        EXT5V_V volt(24)=5.10000000V
"""


UNKNOWN = 'error=1 error_msg="Command not registered"\n'
HIDDEN = "VCHI initialization failed\n"
"""To a user who is not in the group video."""


@pytest.mark.parametrize(
    ("said", "throttled", "unread", "watts", "temperature", "clock"),
    [
        (
            ("throttled=0x50005\n", ADC, "temp=48.3'C\n", "frequency(0)=2400033792\n"),
            0x50005, None, 1.2, 48.3, 2400.033792,
        ),
        ((UNKNOWN,) * 4, None, UNKNOWN.strip(), None, None, None),
        ((HIDDEN,) * 4, None, HIDDEN.strip(), None, None, None),
        ((None,) * 4, None, None, None, None, None),
        (("", "VDD_CORE_A current(7)=n/a", "no sensor", "?"), None, "nothing", None, None, None),
    ],
)  # fmt: skip
def test_what_vcgencmd_says_is_read_and_odd_answers_end_nothing(
    monkeypatch: pytest.MonkeyPatch,
    said: tuple[str | None, ...],
    throttled: int | None,
    unread: str | None,
    watts: float | None,
    temperature: float | None,
    clock: float | None,
) -> None:
    asked = ("get_throttled", "pmic_read_adc", "measure_temp", "measure_clock")
    answers = dict(zip(asked, said, strict=True))
    monkeypatch.setattr(agent, "ask", lambda *command: answers[command[1]])
    monkeypatch.setattr(agent, "read", lambda path: None)
    found = agent.state()
    assert (found["throttled"], found["throttled_unread"]) == (throttled, unread)
    assert found["watts"] == (pytest.approx(watts) if watts else watts)
    assert found["temperature_c"] == temperature
    assert found["arm_clock_mhz"] == clock


BOARD = {
    "/proc/meminfo": "MemTotal:  440000 kB\nMemAvailable:   10000 kB\n",
    "/proc/vmstat": "nr_free_pages 2500\npswpin 12\npswpout 30\n",
    "/sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "/sys/class/thermal/cooling_device0/cur_state": "3\n",
    "/sys/class/thermal/cooling_device0/max_state": "4\n",
    "/sys/class/hwmon/hwmon1/name": "a_hat\n",
    "/sys/class/hwmon/hwmon1/fan1_input": "900\n",
    "/sys/class/hwmon/hwmon2/name": "pwmfan\n",
    "/sys/class/hwmon/hwmon2/fan1_input": "0\n",
}
"""Of a board whose memory is used up and whose fan does not turn."""


def test_memory_swap_and_fan_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "read", lambda path: BOARD.get(path, "").strip() or None)
    paths = [*BOARD, *map(os.path.dirname, BOARD)]
    monkeypatch.setattr(glob, "glob", lambda pattern: fnmatch.filter(paths, pattern))
    found = agent.state()
    assert found["available_bytes"] == 10_240_000
    assert found["swapped_pages"] == 42
    assert found["fan"] == {"level": 3, "highest": 4, "rpm": 0}, "not another fan's"


def test_a_slow_board_is_watched_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes 0.1 s of a core is taken each 5 s."""
    clock = iter(range(100))
    watch = agent.Watch()
    monkeypatch.setattr(agent, "state", dict)
    monkeypatch.setattr(agent, "cpu_seconds", lambda: next(clock) / 10)
    assert [watch.look(), watch.look()] == [pytest.approx(5.0)] * 2
    assert watch.load()["cpu_seconds"] == pytest.approx(0.2)


def test_each_timed_phase_is_looked_at_whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a watcher that would look once an hour: where the phase begins and before it ends."""
    looked = threading.Semaphore(0)

    def state() -> dict[str, Any]:
        looked.release()
        return {}

    monkeypatch.setattr(agent, "state", state)
    with agent.Watch(every=3600.0) as watch:
        watch.enter("process 1: warm-up")
        watch.enter("process 1: timed", 0.01)
        watch.enter("process 1: timed", 0.01)
        assert looked.acquire(timeout=30)
        assert looked.acquire(timeout=30)
        watch.enter("operators: timed", 0.0)
        assert looked.acquire(timeout=30)
    phases = [sample["phase"] for sample in watch.samples]
    assert phases[:2] == ["process 1: timed"] * 2
    assert set(phases[2:]) == {"operators: timed"}


def test_a_program_s_time_counts_as_the_watcher_s(tmp_path: Path) -> None:
    busy = f"{sys.executable} -c 'sum(range(2_000_000))'; echo failed >&2; exit 1"
    before = agent.cpu_seconds()
    assert agent.ask("sh", "-c", busy) == "failed\n"
    assert agent.cpu_seconds() > before
    assert agent.ask("no-such-program-of-edgekit") is None
