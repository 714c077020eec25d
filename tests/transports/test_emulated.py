import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.agent import agent
from edgekit.devices.agent_answer import Job
from edgekit.devices.device import Device
from edgekit.errors import DeviceError
from edgekit.evidence import Evidence
from edgekit.transports.emulated import Emulated
from edgekit.transports.emulation import tree
from edgekit.transports.emulation.cpus import CPU_FACTS
from tests.emulated import emulated

SEEN = """
import ctypes, json, os, platform, subprocess, sys
libc = ctypes.CDLL(None)
libc.getauxval.restype, libc.getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
print(json.dumps({
    "machine": platform.machine(),
    "marker": os.environ["EDGEKIT_EMULATED"],
    "exe": os.path.basename(os.readlink("/proc/thread-self/exe")),
    "hwcap": libc.getauxval(16),
    "features": open("/proc/cpuinfo").read().split("Features\\t: ")[1].splitlines()[0],
    "child": subprocess.run(
        [sys.executable, "-c", "import platform; print(platform.machine())"],
        capture_output=True, text=True).stdout.strip(),
}))
"""
HWCAP = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma "
    "lrcpc dcpop sha3 sm3 sm4 asimddp"
)
"""Bits of AT_HWCAP, in order: arch/arm64/include/uapi/asm/hwcap.h."""


def test_a_missing_tree_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path))
    monkeypatch.setattr(tree, "PROGRAMS", {})
    with pytest.raises(DeviceError) as caught, Emulated(cpu="cortex-a53"):
        pass
    assert caught.value.hint == "edgekit device add NAME --emulated cortex-a53 builds it"
    assert Emulated.evidence is Evidence.EMULATED


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["cortex-a53", "cortex-a72", "cortex-a76"])
def test_python_there_is_an_arm_python(cpu: Any, tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(SEEN)
    with Device("arm", emulated(cpu)) as device:
        seen = json.loads(device.sh(f"{device.python} {tmp_path}/seen.py"))
        assert device.sh("uname -m") == "aarch64\n"
    assert seen["machine"] == seen["child"] == "aarch64"
    assert seen["marker"] == cpu
    assert seen["exe"].startswith("qemu-aarch64")
    # The files describe the very CPU that qemu emulates: else a kernel ends in SIGILL.
    announced = {name for bit, name in enumerate(HWCAP.split()) if seen["hwcap"] >> bit & 1}
    assert (
        set(seen["features"].split())
        == announced
        == set(CPU_FACTS[seen["marker"]].features.split())
    )


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_an_int8_model_scores_there(cpu: Any, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    write_int8_model(model)
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    form = {"dtype": "float32", "mean": [0.5] * 3, "std": [0.5] * 3}
    job = {
        "id": "try",
        "threads": 1,
        "models": [{"id": "m", "path": "model.onnx", "runtime": "onnxruntime", "form": form}],
        "scores": {"images": "images.npy", "workers": 2},
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    files = {name: tmp_path / name for name in ("job.json", "model.onnx", "images.npy")}
    with (
        Device("arm", emulated(cpu)) as device,
        device.work({**files, "agent.py": Path(agent.__file__)}) as folder,
    ):
        raw = device.run_agent(folder, "job.json", lambda *_: None, Job.model_validate(job))
    assert raw.environment.machine == "aarch64"
    assert (raw.board.emulator or "").startswith("qemu-aarch64")
    assert raw.board.board == f"{cpu.title()}, emulated by qemu-user"
    np.testing.assert_allclose(raw.scores_of("m"), scores_here(model, images), atol=1e-5)


@pytest.mark.slow
def test_nothing_is_written_beside_this_machines_python(tmp_path: Path) -> None:
    (tmp_path / "stamp").touch()
    with Device("arm", emulated("cortex-a76")) as device:
        device.sh(f"{device.python} -c 'import turtledemo, tkinter' ; true")
    written = subprocess.run(
        ["find", "/usr/lib", "-name", "*.pyc", "-newer", str(tmp_path / "stamp")],
        capture_output=True,
        text=True,
    )
    assert written.stdout == ""


def write_int8_model(path: Path) -> None:
    """A convolution with int8 weights and activations, on 8x8 pixels."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    constants = {
        "w": rng.integers(-127, 128, (4, 3, 3, 3), np.int8),
        "ws": np.float32(0.01),
        "wz": np.int8(0),
        "xs": np.float32(1 / 127),
        "xz": np.int8(0),
        "ys": np.float32(0.05),
        "yz": np.int8(3),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("QLinearConv", ["xq", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "yz"], ["y"]),
        helper.make_node("GlobalAveragePool", ["y"], ["p"]),
        helper.make_node("Flatten", ["p"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "int8",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def scores_here(model: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import onnxruntime as ort

    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    prepared = ((images - 127.5) / 127.5).astype(np.float32)
    return np.concatenate([session.run(None, {"image": image[None]})[0] for image in prepared])
