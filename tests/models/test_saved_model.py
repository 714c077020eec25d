"""What a SavedModel may hold, and what of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import WeightsError
from edgekit.models import _keras
from edgekit.models._saved_model import SAVING, keep
from edgekit.models._tensorflow_operators import ALLOWED

SIZE = 8


@pytest.fixture(scope="module")
def tf() -> Any:
    return _keras._need("tensorflow")


@pytest.fixture
def export(tf: Any, tmp_path: Path) -> Callable[..., Path]:
    """Write a SavedModel that does something besides classifying."""

    def write(besides: Callable[[Any], Any] = lambda x: x) -> Path:
        module = tf.Module()
        module.weights = tf.Variable(np.ones((3, 2), np.float32))

        def serve(x: Any) -> Any:
            done = besides(x)
            with tf.control_dependencies([done]):
                return {"y": tf.matmul(tf.reduce_mean(x, [1, 2]), module.weights)}

        spec = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)
        module.serve = tf.function(serve, input_signature=[spec])
        signatures = {"serving_default": module.serve}
        tf.saved_model.save(module, str(tmp_path / "m"), signatures=signatures)
        return tmp_path / "m"

    return write


def proto(folder: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())


def write_proto(folder: Path, model: Any) -> None:
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def operators(folder: Path) -> set[str]:
    (graph,) = proto(folder).meta_graphs
    functions = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(n for f in functions for n in f.node_def)]
    return {node.op for node in nodes} - {f.signature.name for f in functions}


def test_what_is_kept_computes_the_same_and_holds_nothing_that_saves(
    tf: Any, export: Callable[..., Path], tmp_path: Path
) -> None:
    path = export()
    assert operators(path) & SAVING
    for name in ("saved_model.cpb", "saved_model.pbtxt", "variables/other"):
        (path / name).write_text("what TensorFlow might read instead")
    keep(path, tmp_path / "kept")
    found = {str(p.relative_to(tmp_path / "kept")) for p in (tmp_path / "kept").rglob("*.*")}
    assert found == {
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    }
    assert not operators(tmp_path / "kept") & SAVING
    images = np.random.default_rng(0).random((2, SIZE, SIZE, 3)).astype(np.float32)
    scores = _keras.opened(tmp_path / "kept")(images)
    np.testing.assert_allclose(scores, images.mean((1, 2)).sum(1, keepdims=True).repeat(2, 1), 1e-5)


@pytest.mark.parametrize(
    ("name", "besides"),
    [
        ("PrintV2", lambda tf, x: tf.print("x", output_stream="file:///tmp/x")),
        ("SaveV2", lambda tf, x: tf.raw_ops.SaveV2(
            prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[x])),
        ("DebugIdentityV2", lambda tf, x: tf.raw_ops.DebugIdentityV2(
            input=x, debug_urls=["file:///tmp/x"])),
        ("WriteFile", lambda tf, x: tf.raw_ops.WriteFile(filename="/tmp/x", contents="x")),
        ("ReadFile", lambda tf, x: tf.io.read_file("/etc/hostname")),
        ("EagerPyFunc", lambda tf, x: tf.py_function(lambda y: y, [x], tf.float32)),
        ("WriteFile", lambda tf, x: tf.cond(
            tf.reduce_sum(x) > 0,
            lambda: tf.raw_ops.WriteFile(filename="/tmp/x", contents="x").type == "",
            lambda: False)),
        ("SaveDatasetV2", lambda tf, x: tf.raw_ops.SaveDatasetV2(
            input_dataset=tf.data.Dataset.range(1)._variant_tensor, path="/tmp/x",
            shard_func_other_args=[], shard_func=tf.function(lambda x: x).get_concrete_function(
                tf.TensorSpec([], tf.int64)), output_types=[tf.int64], output_shapes=[[]])),
    ],
    ids=["print", "save", "debug", "write", "read", "python", "in a branch", "data set"],
)  # fmt: skip
def test_an_operator_that_does_more_than_compute_is_refused_by_name(
    tf: Any, export: Callable[..., Path], tmp_path: Path, name: str, besides: Any
) -> None:
    path = export(lambda x: besides(tf, x))
    with pytest.raises(WeightsError, match=f"no classifier needs: .*{name}"):
        keep(path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def _kept_function(graph: Any) -> Any:
    """They stand in any order, and what saves the model is dropped."""
    functions = graph.graph_def.library.function
    return next(each for each in functions if "save" not in each.signature.name)


def _as_an_attribute(graph: Any) -> None:
    graph.graph_def.node[0].attr["f"].func.name = "WriteFile"


def _deep_in_attributes(graph: Any) -> None:
    inner = _kept_function(graph).node_def[0].attr["fs"].list.func.add(name="Relu")
    inner.attr["g"].func.name = "WriteFile"


def _as_an_attribute_of_a_function(graph: Any) -> None:
    _kept_function(graph).attr["shadow"].func.name = "WriteFile"


def _as_an_attribute_of_an_argument(graph: Any) -> None:
    attributes = _kept_function(graph).arg_attr[0].attr
    attributes["shadow"].func.name = "WriteFile"


def _as_a_function_of_that_name(graph: Any) -> None:
    function = graph.graph_def.library.function.add()
    function.signature.name = "WriteFile"
    graph.graph_def.node.add(name="n", op="WriteFile")


def _in_a_function_that_nobody_calls(graph: Any) -> None:
    function = graph.graph_def.library.function.add()
    function.signature.name = "idle"
    function.node_def.add(name="n", op="WriteFile")


def _in_an_initialiser(graph: Any) -> None:
    graph.graph_def.node.add(name="n", op="WriteFile")
    graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "n"


@pytest.mark.parametrize(
    "hide",
    [
        _as_an_attribute,
        _deep_in_attributes,
        _as_an_attribute_of_a_function,
        _as_an_attribute_of_an_argument,
        _as_a_function_of_that_name,
        _in_a_function_that_nobody_calls,
        _in_an_initialiser,
    ],
)
def test_every_place_that_names_an_operator_is_read(
    export: Callable[..., Path], tmp_path: Path, hide: Callable[[Any], None]
) -> None:
    path = export()
    model = proto(path)
    hide(model.meta_graphs[0])
    write_proto(path, model)
    with pytest.raises(WeightsError, match="needs: WriteFile"):
        keep(path, tmp_path / "kept")


def test_every_graph_of_a_file_is_read(export: Callable[..., Path], tmp_path: Path) -> None:
    path = export()
    model = proto(path)
    second = model.meta_graphs.add()
    second.CopyFrom(model.meta_graphs[0])
    second.graph_def.node.add(name="n", op="WriteFile")
    write_proto(path, model)
    with pytest.raises(WeightsError, match="needs: WriteFile"):
        keep(path, tmp_path / "kept")


def test_the_function_that_saves_is_refused_where_the_model_calls_it(
    export: Callable[..., Path], tmp_path: Path
) -> None:
    path = export()
    model = proto(path)
    library = model.meta_graphs[0].graph_def.library.function
    saving = next(f.signature.name for f in library if any(n.op in SAVING for n in f.node_def))
    serve = next(f for f in library if any(n.op == "MatMul" for n in f.node_def))
    serve.node_def.add(name="n", op="StatefulPartitionedCall").attr["f"].func.name = saving
    write_proto(path, model)
    with pytest.raises(WeightsError, match="needs: MergeV2Checkpoints, SaveV2"):
        keep(path, tmp_path / "kept")


@pytest.mark.parametrize("content", [b"", b"\xff" * 50, b"<html>404</html>" * 9], ids=len)
def test_what_is_no_saved_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(WeightsError, match="is not a SavedModel"):
        keep(tmp_path, tmp_path / "kept")


def test_the_list_names_operators_of_tensorflow_alone(tf: Any) -> None:
    from tensorflow.python.framework import op_def_registry

    assert [name for name in sorted(ALLOWED) if op_def_registry.get(name) is None] == []
