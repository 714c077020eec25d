"""A venv of the device's own: made without a network there, whole or not at all.

pip runs for real here, on tiny wheels in a folder that stands for the package index.
"""

from __future__ import annotations

import ensurepip
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from edgekit.devices._wheels import platforms
from edgekit.devices.check import check
from edgekit.devices.device import Device
from edgekit.devices.facts import PythonThere, Trial
from edgekit.devices.setup import SetUp, set_up
from edgekit.devices.trial import try_runtimes
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.evidence import Evidence
from edgekit.transports.base import Completed
from edgekit.transports.fake import Fake

MODULES = {
    "numpy": "numpy/__init__.py",
    "ai-edge-litert": "ai_edge_litert/interpreter.py",
    "onnxruntime": "onnxruntime/__init__.py",
}
THERE = PythonThere(
    path="python3", version="3.11.2", bits=64, machine="aarch64", glibc="2.31", packages={}
)


def write_wheel(index: Path, package: str, number: str, code: str = "") -> None:
    name = package.replace("-", "_")
    info = f"{name}-{number}.dist-info"
    files = {
        MODULES[package]: code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {number}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(index / f"{name}-{number}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


def fill(folder: Path) -> None:
    """Make a package index of pip, and of the rest at the versions of this machine."""
    folder.mkdir()
    (pip,) = Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")
    shutil.copy(pip, folder)
    for package in MODULES:
        write_wheel(folder, package, version(package))


def use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def run(way: Fake, *runtimes: str) -> SetUp:
    with Device("pi5", way) as device:
        return set_up(device, runtimes or ("litert", "onnxruntime"), lambda line: None)


@pytest.fixture(scope="module", autouse=True)
def tried() -> Iterator[list[Trial]]:
    """What comes of the tiny models: these wheels are empty, and run none."""
    found: list[Trial] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("edgekit.devices.setup.try_runtimes", lambda *_: found)
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An index, and the folder of a device that was set up from it."""
    index, root = tmp_path_factory.mktemp("made") / "index", tmp_path_factory.mktemp("device")
    fill(index)
    with pytest.MonkeyPatch.context() as monkeypatch:
        use(index, monkeypatch)
        run(Fake(root=str(root)))
    return index, root


@pytest.fixture
def index(tmp_path: Path, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index of this test."""
    folder = Path(shutil.copytree(made[0], tmp_path / "index"))
    use(folder, monkeypatch)
    return folder


@pytest.fixture
def way(tmp_path: Path) -> Fake:
    """A device without anything."""
    return Fake(root=str(tmp_path / "a device"))


@pytest.fixture
def ready(tmp_path: Path, made: tuple[Path, Path], index: Path) -> Fake:
    """A device that was set up before."""
    root = shutil.copytree(made[1], tmp_path / "a ready device", symlinks=True)
    return Fake(root=str(root))


def python_of(way: Fake) -> Path:
    return Path(way.root, "edgekit/venv/bin/python")


def works(way: Fake) -> bool:
    words = [str(python_of(way)), "-c", "import numpy, ai_edge_litert.interpreter, onnxruntime"]
    return subprocess.run(words, capture_output=True).returncode == 0


def test_a_device_is_set_up(way: Fake, index: Path) -> None:
    done = run(way)
    expected = {package: version(package) for package in MODULES}
    assert done == SetUp(python=str(python_of(way)), packages=expected, notes=[], was_there=False)
    assert works(way)
    with Device("pi5", way) as device:
        found = check(device)
    assert found.python
    assert found.python.path == str(python_of(way))
    assert found.python.packages == expected
    left = sorted(path.name for path in Path(way.root, "edgekit").iterdir())
    assert left == ["files", "venv", "work"]
    for folder in ("files", "work"):
        assert not list(Path(way.root, "edgekit", folder).glob("[!.]*")), "no wheel takes up space"


def test_a_second_time_does_nothing(ready: Fake) -> None:
    made = python_of(ready).parent.stat()
    ready.cut_push_after = 0  # nothing is sent
    assert run(ready).was_there
    assert python_of(ready).parent.stat() == made


def test_a_broken_venv_is_made_anew(ready: Fake) -> None:
    for module in Path(ready.root).glob("edgekit/venv/lib/*/site-packages/onnxruntime/__init__.py"):
        module.write_text("raise SystemError")
    assert not works(ready)
    assert not run(ready).was_there
    assert works(ready)


def test_what_cannot_be_imported_leaves_the_old_venv(ready: Fake, index: Path) -> None:
    broken = "raise ImportError('libgomp.so.1: cannot open shared object file')"
    write_wheel(index, "onnxruntime", version("onnxruntime"), broken)
    with pytest.raises(DeviceError, match=r"libgomp\.so\.1") as raised:
        run(ready)
    assert raised.value.fault is Fault.MISSING_RUNTIME
    assert works(ready)
    assert not Path(ready.root, "edgekit/venv.new").exists()


def test_a_connection_cut_around_the_switch(ready: Fake, index: Path) -> None:
    write_wheel(index, "numpy", version("numpy"), "# another build\n")
    for command in ("--without-pip", "--require-hashes", "import numpy, ", "sync && rm"):
        ready.cut_before = command
        with pytest.raises(DeviceError) as raised:
            run(ready)
        assert raised.value.fault is Fault.CONNECTION_LOST
        assert works(ready)
    assert not run(ready).was_there
    assert works(ready)


def test_a_setup_cut_between_the_two_names_is_put_back(ready: Fake) -> None:
    home = Path(ready.root, "edgekit")
    (home / "venv").rename(home / "venv.old")
    assert run(ready).was_there
    assert works(ready)


def test_another_version_is_told(way: Fake, index: Path) -> None:
    for wheel in index.glob("numpy-*"):
        wheel.unlink()
    write_wheel(index, "numpy", "1.26.4")
    done = run(way)
    assert done.packages["numpy"] == "1.26.4"
    (note,) = done.notes
    assert f"no numpy=={version('numpy')}" in note


def test_no_wheel_that_fits(way: Fake, index: Path) -> None:
    for wheel in index.glob("ai_edge_litert-*"):
        wheel.unlink()
    with pytest.raises(DeviceError, match="no wheel of ai-edge-litert or tflite-runtime") as raised:
        run(way)
    assert raised.value.fault is Fault.MISSING_RUNTIME
    assert not python_of(way).exists()
    assert run(way, "onnxruntime").packages.keys() == {"numpy", "onnxruntime"}


def test_a_venv_that_nobody_would_use(way: Fake, index: Path) -> None:
    way.python = "/usr/bin/python3"
    with Device("pi5", way) as device, pytest.raises(InputError, match="would not be used"):
        set_up(device)


def test_what_runs_no_tiny_model_leaves_the_old_venv(
    ready: Fake, index: Path, tried: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = "onnxruntime 1.2 ends as it runs a tiny int8 model: signal SIGILL"
    monkeypatch.setattr("edgekit.devices.setup._is_there", lambda *_: False)
    tried.append(Trial(library="onnxruntime 1.2", fault=fault, fix=None))
    with pytest.raises(DeviceError, match="tiny int8 model: signal SIGILL") as raised:
        run(ready)
    tried.clear()
    assert raised.value.fault is Fault.MISSING_RUNTIME
    assert works(ready)
    assert not Path(ready.root, "edgekit/venv.new").exists()


def test_what_is_there_and_runs_no_tiny_model_is_no_success(
    ready: Fake, tried: list[Trial]
) -> None:
    tried.append(Trial(library="onnxruntime 1.2", fault="it ends in SIGILL", fix=None))
    try:
        with pytest.raises(DeviceError, match="does not run: it ends in SIGILL"):
            run(ready)
    finally:
        tried.clear()


def test_a_wheel_that_ends_on_the_processor_is_not_sent(
    way: Fake, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.devices.emulated_wheel.tree_path", lambda *_: index)
    monkeypatch.setattr("edgekit.devices.emulated_wheel.shutil.which", lambda name: name)
    monkeypatch.setattr(
        "edgekit.devices.emulated_wheel.import_fault", lambda core, module, root: f"{core} fault"
    )
    python = THERE.model_copy(update={"part": "0xd08", "version": sys.version.split()[0]})
    monkeypatch.setattr("edgekit.devices.setup._base_python", lambda _: python)
    with pytest.raises(InputError, match="cortex-a72 fault as it is imported on a Cortex-A72"):
        run(way)
    assert not Path(way.root, "edgekit/files").exists()


def test_an_emulated_device_has_its_runtimes(
    way: Fake, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "evidence", Evidence.EMULATED)
    with pytest.raises(InputError, match="built with its runtimes"):
        run(way)


def test_an_unknown_runtime(way: Fake) -> None:
    with pytest.raises(InputError, match="did you mean 'litert'"):
        run(way, "litrt")


def test_no_python_there(way: Fake) -> None:
    way.answers["import json"] = Completed(127, "", "sh: python3: not found")
    with pytest.raises(DeviceError, match="not found") as raised:
        run(way)
    assert raised.value.hint == "on the device: sudo apt-get install python3"


def test_platforms() -> None:
    tags = platforms(THERE)
    assert tags[0] == "manylinux_2_31_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    for fields in ({"bits": 32, "machine": "armv7l"}, {"glibc": None}):
        with pytest.raises(DeviceError) as raised:
            platforms(THERE.model_copy(update=fields))
        assert raised.value.fault is Fault.WRONG_ARCHITECTURE


@pytest.mark.slow
def test_the_real_runtimes(way: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the wheels of the package index that pip is configured for."""
    monkeypatch.setattr("edgekit.devices.setup.try_runtimes", try_runtimes)
    with Device("here", way) as device:
        done = set_up(device, ("litert", "onnxruntime", "openvino"))
    assert done.packages["onnxruntime"] == version("onnxruntime")
    code = "import numpy, ai_edge_litert.interpreter, onnxruntime, openvino, sys; print(sys.prefix)"
    said = subprocess.run([done.python, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(python_of(way).parent.parent)
    assert sys.prefix not in said.stdout
