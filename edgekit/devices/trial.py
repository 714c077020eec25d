"""Whether the runtimes of a device run there at all: each is imported and runs two tiny models.

A wheel can fit by its name and still end in SIGILL, as onnxruntime 1.21.0 does on a Cortex-A72.
The models are made by tests/devices/make_trial_models.py, with the scores they gave.
"""

from __future__ import annotations

import json
import shlex
import signal
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from edgekit.agent import agent
from edgekit.devices.agent_result import Golden
from edgekit.devices.bench.validity import golden_complaint
from edgekit.devices.device import Device
from edgekit.devices.engines import ENGINES
from edgekit.devices.facts import Trial
from edgekit.errors import DeviceError, Fault, ending
from edgekit.transports.base import Completed

FOLDER = Path(__file__).parent / "trial_models"
PRECISIONS = ("float32", "int8")
SECONDS = 300.0
"""For one runtime: a slow card reads 60 MB of libraries first."""
SCRIPT = """\
import agent, json, sys
import numpy as np
runtime, names = sys.argv[1], sys.argv[2:]
agent.import_runtime(runtime)
print(json.dumps(["imported", None]), flush=True)
# As in tests/devices/make_trial_models.py.
image = np.array([7 * i % 255 for i in range(192)], np.float32).reshape(1, 8, 8, 3) / 255
for name in names:
    run = agent.open_model({"runtime": runtime, "path": name}, 1, exact=True)
    print(json.dumps([name, run(image).reshape(-1).tolist()]), flush=True)
"""


def files_for(runtime: str) -> list[str]:
    """The models that a runtime runs, by their names in FOLDER."""
    return [f"{name}.{'tflite' if runtime == 'litert' else 'onnx'}" for name in PRECISIONS]


def try_runtimes(device: Device, packages: dict[str, str], python: str = "") -> list[Trial]:
    """Run two tiny models on each runtime that a device has.

    Args:
        packages: those that are installed there, with their versions.
        python: which Python to try, as the shell takes it; the one that runs the agent otherwise.

    Raises:
        DeviceError: the way broke. A runtime that fails is told in its trial.
    """
    found = []
    with _sent(device) as folder:
        for runtime, distributions in ENGINES.items():
            name = next((each for each in distributions if each in packages), None)
            if name:
                files = files_for(runtime)
                words = shlex.join(["-c", SCRIPT, runtime, *files])
                done = _run(device, folder, f"{python or device.python} {words}")
                found.append(_judged(device.name, name, packages[name], files, done))
    return found


@contextmanager
def _sent(device: Device) -> Iterator[str]:
    folder = f"{device.home}/.trial-{uuid.uuid4().hex[:8]}"
    device.sh(f"mkdir {shlex.quote(folder)}")
    try:
        for path in (Path(agent.__file__), *FOLDER.glob("*.onnx"), *FOLDER.glob("*.tflite")):
            device.transport.push(path, f"{folder}/{path.name}")
        yield folder
    finally:
        device.forget(folder)


def _run(device: Device, folder: str, command: str) -> Completed:
    command = f"export PYTHONDONTWRITEBYTECODE=1; {command}"
    try:
        return device.transport.run(f"cd {shlex.quote(folder)} && {command}", timeout=SECONDS)
    except DeviceError as error:
        if error.fault is not Fault.NO_ANSWER:
            raise
        return Completed(1, "", f"no end within {SECONDS:g} seconds")


def _judged(device: str, package: str, installed: str, files: list[str], done: Completed) -> Trial:
    """What came of one runtime (pure)."""
    seen, library = dict(_lines(done.out)), f"{package} {installed}"
    if done.code:
        fault = f"{library} ends as it {_step(files, seen)}: {_ending(done)}"
    else:
        wrong = next((c for c in (_complaint(f, seen.get(f)) for f in files) if c), None)
        if wrong is None:
            return Trial(library=library, fault=None, fix=None)
        fault = f"{library}: {wrong}"
    return Trial(library=library, fault=fault, fix=_other_wheel(device, package, installed))


def _step(files: list[str], seen: Collection[str]) -> str:
    """What it was at as it ended."""
    if "imported" not in seen:
        return "is imported"
    return next((f"runs a tiny {f.split('.')[0]} model" for f in files if f not in seen), "ends")


def _ending(done: Completed) -> str:
    # A shell tells a signal as 128 and its number.
    code = 128 - done.code if done.code > 128 else done.code
    if code >= 0:
        return (done.err.strip().splitlines() or [ending(code)])[-1][-200:]
    lacks = ", an instruction that this processor does not have"
    return ending(code) + (lacks if code == -signal.SIGILL else "")


def _lines(out: str) -> Iterator[tuple[str, list[float] | None]]:
    for line in out.splitlines():
        try:
            name, scores = json.loads(line)
        except (ValueError, TypeError):
            continue  # a library that says something
        yield str(name), scores


def _complaint(file: str, scores: list[float] | None) -> str | None:
    expected = np.array(json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))[file])
    got = np.array(scores if isinstance(scores, list) else [], np.float64)
    if got.shape != expected.shape or not np.isfinite(got).all():
        return f"a tiny {file.split('.')[0]} model gives no scores there"
    golden = Golden(
        max_abs_diff=float(np.max(np.abs(got - expected))),
        spread=float(np.ptp(expected)),
        same_top1=int(got.argmax() == expected.argmax()),
        images=1,
    )
    return golden_complaint(golden, file.split(".")[0])


def _other_wheel(device: str, package: str, installed: str) -> str:
    """The version of this machine, which `device setup` installs, unless it is the very one."""
    try:
        here = version(package)
    except PackageNotFoundError:
        here = installed
    if here != installed:
        return f"edgekit device setup {device}  (it installs {package} {here})"
    return (
        f"install another version of {package} here, then edgekit device setup {device}: "
        f"pip install '{package}!={installed}'"
    )
