"""Models are timed on a device: together, watched, and refused where the run is not to be believed.
Which is the faster is asserted nowhere."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact, Metadata
from edgekit.engine.confinement import MEMORY
from edgekit.engine.store import Store
from edgekit.errors import DeviceError, Fault
from edgekit.evaluation.choose import Choose, read_choice
from edgekit.evaluation.timing import Candidate, MeasureResult
from edgekit.evidence import Evidence
from edgekit.models.card import Card
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.transports.fake import Fake
from edgekit.transports.local import Local
from tests.boards import BOARD, board_of
from tests.devices.tiny import RAW, write_model


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "locks"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a home"


CARD = Card(
    arch="tiny", classes=("a", "b"), image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=1.0,
    parameters=1, macs=1,
)  # fmt: skip


def python(folder: Path, before: str) -> str:
    """A Python that runs a line of shell first."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n{before}\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def candidates(folder: Path, names: tuple[str, ...] = ("int8", "float")) -> list[Candidate]:
    for name in names:
        (folder / name).mkdir()
        write_model(folder / name / "model.onnx")
    return [Candidate(n, "onnxruntime", folder / n / "model.onnx", RAW) for n in names]


def time(board: TimingDevice, folder: Path, models: list[Candidate] | None = None) -> MeasureResult:
    np.save(folder / "images.npy", np.zeros((20, 8, 8, 3), np.uint8))
    return board.time(models or candidates(folder), folder / "images.npy", lambda *_: None)


def test_all_are_timed_in_one_run_at_the_targets_threads(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is seen of the run is written outside of its folder.
    monkeypatch.setattr(Local, "confined", lambda _, command, folder: command)
    seen = tmp_path / "seen.json"
    own = python(tmp_path, f"cp job.json {seen} 2>/dev/null")
    board = board_of(Local(home=str(home), python=own))
    found = time(board, tmp_path)
    assert set(found.timings) == {"int8", "float"}
    assert all(len(timing.rounds) >= 30 for timing in found.timings.values())
    assert found.environment["cores"]
    assert json.loads(seen.read_text())["threads"] == BOARD.threads == board.threads
    assert board.evidence is Evidence.MEASURED


def test_models_that_were_timed_are_not_left_on_the_device(tmp_path: Path, home: Path) -> None:
    time(board_of(Local(home=str(home), python=sys.executable)), tmp_path)
    assert not list((home / "work").iterdir())
    assert max(path.stat().st_size for path in (home / "files").iterdir()) < 50_000


def test_a_run_that_was_throttled_is_no_result(tmp_path: Path, home: Path) -> None:
    tool = tmp_path / "vcgencmd"
    tool.write_text("#!/bin/sh\n[ $1 = get_throttled ] && echo throttled=0x50005\n")
    tool.chmod(0o755)
    own = python(tmp_path, f"export PATH={tmp_path}:$PATH")
    with pytest.raises(DeviceError, match=r"run on pi5 is no result: .*throttled during") as caught:
        time(board_of(Local(home=str(home), python=own)), tmp_path)
    assert caught.value.fault is Fault.NO_RESULT


def test_what_makes_the_timings_doubtful_is_told(tmp_path: Path, home: Path) -> None:
    tool = tmp_path / "vcgencmd"
    tool.write_text("#!/bin/sh\necho VCHI initialization failed\n")
    tool.chmod(0o755)
    own, told = python(tmp_path, f"export PATH={tmp_path}:$PATH"), list[str]()
    board = board_of(Local(home=str(home), python=own))
    np.save(tmp_path / "images.npy", np.zeros((20, 8, 8, 3), np.uint8))
    models = candidates(tmp_path, ("int8",))
    board.time(models, tmp_path / "images.npy", lambda done, total, note: told.append(note))
    # Without the sensors of a board the machine that tests tells nothing else either.
    assert any("nobody could watch" in line or "not be noticed" in line for line in told)


def test_what_runs_in_an_emulator_has_no_latency(tmp_path: Path, home: Path) -> None:
    own = python(tmp_path, "export EDGEKIT_EMULATED=qemu-aarch64")
    with pytest.raises(DeviceError, match="emulated by qemu-aarch64") as caught:
        time(board_of(Local(home=str(home), python=own)), tmp_path)
    assert caught.value.fault is Fault.NO_RESULT


def test_a_device_of_another_architecture_is_refused_before_it_works(tmp_path: Path) -> None:
    fake = Fake(root=str(tmp_path / "pi"), python=sys.executable)
    board = board_of(fake, BOARD.model_copy(update={"isa": "armv7"}))
    with pytest.raises(DeviceError) as caught:
        time(board, tmp_path)
    assert caught.value.fault is Fault.WRONG_ARCHITECTURE
    assert not [command for command in fake.commands if "job.json" in command]


def test_a_model_that_breaks_the_runtime_is_told(tmp_path: Path, home: Path) -> None:
    (model,) = candidates(tmp_path, ("broken",))
    model.path.write_bytes(b"no model")
    with pytest.raises(DeviceError, match="pi5: the run ended with exit code 1") as caught:
        time(board_of(Local(home=str(home), python=sys.executable)), tmp_path, [model])
    assert caught.value.fault is Fault.CRASHED
    assert not list((home / "work").iterdir())


def test_a_device_that_is_killed_for_want_of_memory_is_told(tmp_path: Path, home: Path) -> None:
    killed = "s/^        main(/        os.kill(os.getpid(), 9); main(/"
    own = python(tmp_path, f'[ "$1" = agent.py ] && sed -i "{killed}" agent.py')
    with pytest.raises(DeviceError, match="mostly for want of memory"):
        time(board_of(Local(home=str(home), python=own)), tmp_path)


def test_a_model_that_takes_more_memory_than_it_may_is_told_what_raises_it(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = "s/^        main(/        held = bytearray(1 << 30); main(/"
    own = python(tmp_path, f'[ "$1" = agent.py ] && sed -i "{takes}" agent.py')
    board = board_of(Local(home=str(home), python=own))
    monkeypatch.setenv(MEMORY, "1")
    with pytest.raises(
        DeviceError, match=r"pi5: the model needs more memory.* the 1\.0 GB"
    ) as told:
        time(board, tmp_path, models := candidates(tmp_path))
    assert f"export {MEMORY}=2" in str(told.value.hint)
    monkeypatch.setenv(MEMORY, "2")
    assert time(board, tmp_path, models).timings


def test_a_device_that_restarts(tmp_path: Path) -> None:
    way = Fake(root=str(tmp_path / "pi"), python=sys.executable, reboot_before="agent.py job")
    with pytest.raises(DeviceError) as caught:
        time(board_of(way), tmp_path)
    assert caught.value.fault is Fault.REBOOTED


def test_the_fastest_is_chosen_as_the_device_runs_them(
    tmp_path: Path, home: Path, store: Store
) -> None:
    board = board_of(Local(home=str(home), python=sys.executable))
    inputs: dict[str, Artifact] = {}
    for name in ("one", "other"):
        with store.workspace() as folder:
            write_model(folder / "model.onnx")
            form = CompiledMetadata(card=CARD, form=RAW, precision="int8")
            inputs[name] = store.commit(name, folder, form, (), 0)
    with store.workspace() as folder:
        np.save(folder / "images.npy", np.zeros((20, 8, 8, 3), np.uint8))
        inputs["images"] = store.commit("images", folder, Metadata(), (), 0)
    action = Choose(dict.fromkeys(("one", "other"), "onnxruntime"), machine=board)
    context = Context(progress=lambda *_: None, partial=tmp_path)
    with store.workspace() as folder:
        choice = read_choice(
            store.commit("choice", folder, action.run(inputs, folder, context), (), 0)
        )
    assert set(choice.ratios) == {"one", "other"}
    assert all(ratio.evidence is Evidence.MEASURED for ratio in choice.ratios.values())
    assert action.settings() != Choose(action.runtimes).settings()
    assert action.settings()["agent"]
