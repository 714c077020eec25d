"""Models whose makers mean harm: named and refused, in bounded time and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from edgekit.build_folder import inspected
from edgekit.cli import cli
from edgekit.engine.confinement import MEMORY, MINUTES, Confinement
from edgekit.errors import InputError
from edgekit.evaluation import measure
from edgekit.models import _keras
from tests.brought import brought
from tests.commands import edgekit

SIZE = 32
RECIPE = """\
model: {{weights: {weights}, input_range: 0..1}}
data: {{source: imagefolder, path: images, image_size: 32}}
stages: [{{quantize: {{method: ptq, samples: 8}}}}, export]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images of two classes."""
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng(i + 100 * (label == "b")).integers(
                0, 255, (SIZE, SIZE, 3)
            )
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / label / f"{i}.png")
    return tmp_path


def command(folder: Path, weights: str) -> list[str]:
    (folder / "r.yaml").write_text(RECIPE.format(weights=weights))
    return ["build", "r.yaml", "--target", "rpi"]


def refused(folder: Path, weights: str, **limits: float) -> str:
    """What a build says that ends with exit code 2; nothing new is in the folder but the
    store, and an empty one for the results."""
    before = {path.name for path in folder.iterdir()} | {"r.yaml", "store", "build"}
    names = {"minutes": MINUTES, "memory_gb": MEMORY}
    chosen = {names[name]: str(value) for name, value in limits.items()}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in chosen.items():
            patch.setenv(name, value)
        done = edgekit(*command(folder, weights), cwd=folder, store=folder / "store")
    assert done.returncode == 2, done.stderr
    assert {path.name for path in folder.iterdir()} <= before
    assert not list((folder / "build").glob("*"))
    return done.stderr


# ONNX


def write_onnx(path: Path, besides: Callable[[Any], list[Any]]) -> Path:
    """A classifier of two classes, and nodes that make `extra` of its `scores`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
        *besides(helper),
        helper.make_node("Add", ["scores", "extra"], ["out"]),
    ]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE]),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 2]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def endless(helper: Any) -> list[Any]:
    """Nodes that go round 2^62 times."""
    from onnx import TensorProto, numpy_helper

    def info(name: str, kind: int, shape: list[int]) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Sin", ["state"], ["next"]),
        ],
        "body",
        [
            info("i", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("state", TensorProto.FLOAT, [1, 2]),
        ],
        [info("go_on", TensorProto.BOOL, []), info("next", TensorProto.FLOAT, [1, 2])],
    )
    times = numpy_helper.from_array(np.array(2**62), "times")
    return [
        helper.make_node("Constant", [], ["times"], value=times),
        helper.make_node("Loop", ["times", "", "scores"], ["extra"], body=body),
    ]


def eight_gigabytes(helper: Any, numbers: int = 1 << 31) -> list[Any]:
    """Nodes that make a tensor as large, or of so many numbers."""
    from onnx import numpy_helper

    sides = numpy_helper.from_array(np.array([1, numbers]), "sides")
    return [
        helper.make_node("Constant", [], ["sides"], value=sides),
        # Of what is computed, so that no optimiser can make it before.
        helper.make_node("ReduceSum", ["scores"], ["one"], keepdims=1),
        helper.make_node("Expand", ["one", "sides"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["extra"], keepdims=1),
    ]


@brought(
    "ONNX files",
    "A Loop of 2^62 iterations",
    "refused: running it on one image takes longer than its share of the time",
)
def test_a_loop_without_end_is_ended(folder: Path) -> None:
    write_onnx(folder / "loop.onnx", endless)
    start = time.monotonic()
    said = refused(folder, "loop.onnx", minutes=0.7)
    assert "running model.weights: loop.onnx on one image takes longer than 2 s" in said
    assert f"export {MINUTES}=" in said
    assert time.monotonic() - start < 60


@brought(
    "ONNX files", "A Loop of 2^62 iterations, and Ctrl-C", "read: Ctrl-C ends the build at once"
)
def test_ctrl_c_ends_a_loop_without_end(folder: Path) -> None:
    write_onnx(folder / "loop.onnx", endless)
    build = subprocess.Popen(
        [sys.executable, "-m", "edgekit", *command(folder, "loop.onnx")],
        cwd=folder,
        env={**os.environ, "EDGEKIT_STORE": str(folder / "store"), MINUTES: "60"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(folder.glob("store/temp/*/work*/model.onnx")) and build.poll() is None:
        time.sleep(0.1)
    time.sleep(1)  # what is kept is run now
    start = time.monotonic()
    build.send_signal(signal.SIGINT)
    assert "interrupted" in build.communicate(timeout=60)[1]
    assert build.returncode == 130
    assert time.monotonic() - start < 10
    assert not [p for p in (folder / "store" / "temp").iterdir() if p.is_dir()]


@brought(
    "ONNX files", "A tensor of 8 GB made while it runs", "refused: more memory than it may take"
)
def test_a_tensor_of_8_gb_is_not_made(folder: Path) -> None:
    write_onnx(folder / "fill.onnx", eight_gigabytes)
    said = refused(folder, "fill.onnx", memory_gb=2)
    assert "model.weights: fill.onnx needs more memory, or a larger file, than the 2.0 GB" in said
    assert f"export {MEMORY}=4" in said


@brought("ONNX files", "An operator of a maker's own domain", "refused: by the operator's name")
def test_an_operator_of_another_domain_is_named(folder: Path) -> None:
    def custom(helper: Any) -> list[Any]:
        return [helper.make_node("Run", ["scores"], ["extra"], domain="com.acme")]

    write_onnx(folder / "custom.onnx", custom)
    assert "holds operators that are not ONNX's own: com.acme::Run" in refused(
        folder, "custom.onnx"
    )


@pytest.mark.parametrize(
    "location", ["../../../../../../../etc/passwd", "/etc/passwd", "a\0b", "x" * 999]
)
@brought(
    "ONNX files",
    "Weights kept in a file elsewhere, or of an impossible name",
    "refused: with the name",
)
def test_weights_in_a_file_elsewhere_are_not_read(folder: Path, location: str) -> None:
    import onnx

    path = write_onnx(folder / "m.onnx", lambda h: [h.make_node("Neg", ["scores"], ["extra"])])
    model = onnx.load(path)
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    said = refused(folder, "m.onnx")
    assert "keeps weights in" in said or "keeps its weights in" in said


# Files that are named to a command


def answer(folder: Path, *words: object) -> str:
    """What a command says that ends with exit code 2, and leaves nothing."""
    before = sorted(folder.rglob("*"))
    variables = {
        "EDGEKIT_STORE": str(folder / "images"),
        "EDGEKIT_DEVICES": str(folder / "devices.yaml"),
    }
    error = CliRunner().invoke(cli, [*map(str, words)], env=variables).exception
    assert isinstance(error, InputError), error
    assert sorted(folder.rglob("*")) == before
    return f"{error.message}; {error.hint}"


@pytest.fixture
def named(folder: Path) -> Path:
    """A folder with a device and a good model."""
    python = f"python: {sys.executable}"
    (folder / "devices.yaml").write_text(
        f"here: {{transport: local, home: {folder / 'home'}, {python}}}\n"
    )
    write_onnx(folder / "good.onnx", lambda h: [h.make_node("Neg", ["scores"], ["extra"])])
    return folder


def limit(patch: pytest.MonkeyPatch, module: object, seconds: float) -> None:
    """Give a model 2 GB and some seconds where a module runs it."""
    patch.setattr(module, "confinement", lambda subject: Confinement(subject, 2 << 30, seconds))


@pytest.mark.parametrize("command", ["bundle", "bench", "inspect"])
@brought(
    "ONNX files",
    "A Loop of 2^62 iterations, in bundle, bench and inspect",
    "refused: it makes no progress, or an image takes longer than its share of the time",
)
def test_a_command_does_not_run_a_loop_without_end(
    named: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, measure, 1)
    limit(monkeypatch, inspected, 20)
    loop, images = write_onnx(named / "loop.onnx", endless), named / "images" / "a"
    more: dict[str, tuple[object, ...]] = {
        "bundle": ("--out", named / "out"),
        "bench": ("--device", "here", "--out", named / "out"),
        "inspect": ("--float", named / "good.onnx", "--images", images, "--mean", 0, "--std", 1),
    }
    start = time.monotonic()
    said = answer(named, command, loop, *more[command])
    words = "running loop.onnx makes no progress for 1 s"
    if command == "inspect":
        words = "running loop.onnx or good.onnx on one image takes longer than 1 s"
    assert words in said
    assert f"export {MINUTES}=" in said
    assert time.monotonic() - start < 60


@brought(
    "ONNX files",
    "A tensor of 8 GB made while it runs, in bundle and bench",
    "refused: more memory than it may take",
)
def test_a_command_makes_no_tensor_of_8_gb(named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, measure, 60)
    large = write_onnx(named / "fill.onnx", eight_gigabytes)
    said = answer(named, "bundle", large, "--out", named / "out")
    assert "fill.onnx needs more memory, or a larger file, than the 2.0 GB" in said
    assert f"export {MEMORY}=4" in said


def test_a_command_makes_a_tensor_within_the_limit(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, measure, 60)
    large = write_onnx(named / "fill.onnx", lambda helper: eight_gigabytes(helper, 1 << 24))
    words = ["bundle", str(large), "--out", str(named / "out")]
    found = CliRunner().invoke(cli, words, env={"EDGEKIT_STORE": str(named / "store")})
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize("name", ["bomb.keras", "sm"])
@brought(
    "Keras models",
    "A .keras or a SavedModel in inspect, estimate, bundle and bench, whatever is in it",
    "refused unread: none of the files that a runtime loads",
)
def test_a_command_reads_no_source_format(named: Path, name: str) -> None:
    if name == "sm":
        (named / name).mkdir()
        (named / name / "saved_model.pb").write_bytes(b"x")
    else:
        (named / name).write_bytes(b"x")
    file, good = named / name, named / "good.onnx"
    for words in (
        ("inspect", file, "--float", good, "--images", named / "images" / "a"),
        ("estimate", file, "--target", "rpi5"),
        ("bundle", file, "--out", named / "out"),
        ("bench", file, "--device", "here"),
    ):
        assert name in answer(named, *words)


# Keras


@brought(
    "Keras models",
    "A .keras whose config.json unpacks to gigabytes",
    "refused: it is longer than that of any model",
)
def test_a_config_that_unpacks_to_gigabytes_is_not_unpacked(folder: Path) -> None:
    megabyte = b" " * (1 << 20)
    with (
        zipfile.ZipFile(folder / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("config.json", "w", force_zip64=True) as stream,
    ):
        for _ in range(500):
            stream.write(megabyte)
    said = refused(folder, "bomb.keras")
    assert "bomb.keras is not a Keras model: its configuration is larger than 64 MB" in said


@brought(
    "Keras models", "A .keras whose config.json is nested 100,000 deep", "refused: no Keras model"
)
def test_a_config_that_is_nested_without_end_is_refused(folder: Path) -> None:
    with zipfile.ZipFile(folder / "deep.keras", "w") as archive:
        archive.writestr("config.json", "[" * 100_000)
    assert "deep.keras is not a Keras model" in refused(folder, "deep.keras")


def write_saved_model(path: Path, besides: Callable[[Any, Any], Any]) -> None:
    """A SavedModel of two classes that does something besides classifying."""
    tf = _keras._need("tensorflow")
    module = tf.Module()
    module.weights = tf.Variable(np.ones((3, 2), np.float32))

    def serve(x: Any) -> Any:
        done = besides(tf, x)
        with tf.control_dependencies([done]):
            scores = tf.matmul(tf.reduce_mean(x, [1, 2]), module.weights)
        # What is only waited for, and changes nothing, an optimiser leaves out.
        return {"y": scores + done if tf.is_tensor(done) else scores}

    spec = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)
    module.serve = tf.function(serve, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})


@brought("Keras models", "A SavedModel that prints to any file", "refused: by the operator's name")
def test_a_saved_model_that_prints_to_a_file_is_refused(folder: Path) -> None:
    target = f"file://{folder}/OWNED"
    write_saved_model(folder / "sm", lambda tf, x: tf.print("x", output_stream=target))
    assert "sm holds operators that no classifier needs: PrintV2" in refused(folder, "sm/")


@pytest.mark.slow
@brought("Keras models", "A SavedModel that writes a checkpoint", "refused: by the operator's name")
def test_a_saved_model_that_saves_is_refused(folder: Path) -> None:
    def save(tf: Any, x: Any) -> Any:
        prefix = f"{folder}/OWNED"
        return tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=["a"], shape_and_slices=[""], tensors=[x]
        )

    write_saved_model(folder / "sm", save)
    assert "no classifier needs: MergeV2Checkpoints, SaveV2" in refused(folder, "sm/")


@pytest.mark.slow
@brought(
    "Keras models",
    "A SavedModel that hides WriteFile behind an odd way to write its length",
    "refused: by the operator's name",
)
def test_a_saved_model_that_hides_an_operator_is_refused(folder: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    def write(tf: Any, x: Any) -> Any:
        return tf.raw_ops.WriteFile(filename=f"{folder}/OWNED", contents="x", name="quiet")

    write_saved_model(folder / "sm", write)
    path = folder / "sm" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for function in model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.op = node.op.replace("WriteFile", "WriteFileX")
    content = model.SerializeToString()
    # As long as before, so that the lengths around it hold: two bytes say 9.
    path.write_bytes(content.replace(b"\x12\x0aWriteFileX", b"\x12\x89\x00WriteFile"))
    assert "no classifier needs: WriteFile" in refused(folder, "sm/")


@pytest.mark.slow
@brought("Keras models", "A SavedModel that fills 8 GB", "refused: more memory than it may take")
def test_a_saved_model_that_fills_8_gb_is_refused(folder: Path) -> None:
    def fill(tf: Any, x: Any) -> Any:
        large = tf.fill([tf.shape(x)[0] * (1 << 15), 1 << 16], tf.reduce_max(x))
        return tf.reduce_sum(tf.cumsum(large))

    write_saved_model(folder / "sm", fill)
    said = refused(folder, "sm/", memory_gb=3)
    assert "model.weights: sm needs more memory, or a larger file, than the 3.0 GB" in said
