"""ONNX files and Keras models as sources: refused with reasons, kept exactly, checked on images.

One network of four colours is trained once; every file here holds its weights, so that each must
give its scores.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from edgekit.data.framing import Framing
from edgekit.data.size import Size
from edgekit.data.splits import SplitsMetadata
from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact
from edgekit.engine.confinement import confinement
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import ConfigError, InputError, WeightsError
from edgekit.evaluation import source_check
from edgekit.models import _keras, foreign, timm_models
from edgekit.models.card import Card
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.foreign import LoadForeign, content_digest
from edgekit.models.source import ModelSource
from edgekit.pipeline.plan import Plan, make_plan
from edgekit.pipeline.run import Build, execute
from edgekit.report.publish import publish
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target

pytestmark = pytest.mark.usefixtures("trusted")

SIZE = 32
COLOURS = {"dim": (90, 20, 20), "green": (30, 200, 30), "red": (230, 40, 40), "sun": (220, 210, 30)}
"""No exchange of red and blue, and no other input range, leaves these classes as they are."""
CLASSES = tuple(COLOURS)
BGR = [2, 1, 0]

Module = torch.nn.Module
Export = Callable[..., Path]


# Images, and a network that knows them


def write_colours(root: Path, count: int = 24) -> Path:
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.normal(40, 8, (SIZE, SIZE, 3))
            y, x = rng.integers(0, SIZE // 2, 2)
            pixels[y : y + 16, x : x + 16] = colour + rng.normal(0, 8, (16, 16, 3))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(root / name / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/, 24 for each of four colours."""
    root = tmp_path_factory.mktemp("colours")
    write_colours(root / "images")
    return root


@pytest.fixture(scope="module")
def pixels(colours: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    files = [(f, i) for i, name in enumerate(CLASSES) for f in sorted(colours.glob(f"*/{name}/*"))]
    images = np.stack([np.asarray(Image.open(f)) for f, _ in files])
    return images, np.array([i for _, i in files])


@pytest.fixture(scope="module")
def net(pixels: tuple[NDArray[np.uint8], NDArray[np.int64]]) -> torch.nn.Sequential:
    """Takes RGB, NCHW, 0..1; right on nearly all images."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(16, len(CLASSES)),
    )
    x = torch.from_numpy(pixels[0]).permute(0, 3, 1, 2) / 255
    y = torch.from_numpy(pixels[1])
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(150):
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(model(x), y))
        optimizer.step()
    model.eval()
    assert (model(x).argmax(1) == y).float().mean() > 0.95
    return model


class Before(torch.nn.Module):
    """The network behind a change of its input or before one of its output."""

    def __init__(self, net: Module, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x: torch.Tensor) -> Any:
        scores = self.net(self.before(x) if self.before else x)
        return self.after(scores) if self.after else scores


def parameter(module: torch.nn.Module, name: str) -> torch.Tensor:
    return module.get_parameter(name)


def in_bgr(net: torch.nn.Sequential) -> torch.nn.Sequential:
    """The same network, whose first convolution takes B, G, R."""
    twin = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), *list(net)[1:])
    twin[0].load_state_dict({"weight": parameter(net[0], "weight")[:, BGR], "bias": net[0].bias})
    return twin.eval()


def in_bgr_bytes(net: torch.nn.Sequential) -> torch.nn.Sequential:
    """The same network, which takes B, G, R from 0 to 255."""
    twin = in_bgr(net)
    twin[0].load_state_dict({"weight": parameter(twin[0], "weight") / 255, "bias": twin[0].bias})
    return twin


def export_onnx(model: Module, path: Path, shape: tuple[int, ...] = (1, 3, SIZE, SIZE)) -> Path:
    program = torch.onnx.export(
        model.eval(), (torch.zeros(shape),), dynamo=True, external_data=False, verbose=False
    )
    assert program is not None
    program.save(path)
    return path


@pytest.fixture(scope="module")
def onnx_file(net: torch.nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(net, tmp_path_factory.mktemp("onnx") / "colours.onnx")


@pytest.fixture(scope="module")
def keras_model(net: torch.nn.Sequential) -> Any:
    """The network in Keras, NHWC, with the same weights."""
    keras = _keras._need("keras")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(len(CLASSES)),
        ]
    )
    arrays = [p.detach().numpy() for p in net.parameters()]
    model.set_weights([a.transpose(2, 3, 1, 0) if a.ndim == 4 else a.T for a in arrays])
    return model


def in_bgr_keras(model: Any) -> Any:
    keras = _keras._need("keras")
    twin = keras.models.clone_model(model)
    kernel, *others = model.get_weights()
    twin.set_weights([kernel[:, :, BGR], *others])
    return twin


# Loading one


def kept(path: Path, into: Path, classes: tuple[str, ...] = CLASSES, **fields: Any) -> Artifact:
    """What the source step leaves for a file."""
    source = ModelSource(weights=str(path), **{"input_range": "0..1", **fields})
    divided = SplitsMetadata(classes=classes, fingerprint="f" * 64, counts={}).record()
    splits = Artifact(digest="", path=into, files={}, metadata=divided, parents=())
    context = Context(progress=lambda done, total, note: None, partial=into)
    store = Store(into / "store")
    with store.workspace() as folder:
        load = LoadForeign(source, Framing(Size.square(SIZE)))
        metadata = load.run({"splits": splits}, folder, context)
        return store.commit("key", folder, metadata, (), 0)


def scores_of(artifact: Artifact, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return foreign.scorer(*timm_models.restore(artifact))((images / 255).astype(np.float32))


def expected(net: Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    x = torch.from_numpy((images / 255).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        scores: NDArray[np.float32] = net(x).numpy()
    return scores


Pixels = tuple[NDArray[np.uint8], NDArray[np.int64]]


def test_an_onnx_file_keeps_its_scores_and_gets_a_card(
    net: torch.nn.Sequential, onnx_file: Path, pixels: Pixels, tmp_path: Path
) -> None:
    artifact = kept(onnx_file, tmp_path)
    card = artifact.described_by(FloatMetadata).card
    assert (card.arch, card.format, card.classes) == ("colours", "onnx", CLASSES)
    assert card.parameters == sum(p.numel() for p in net.parameters())
    np.testing.assert_allclose(scores_of(artifact, pixels[0]), expected(net, pixels[0]), atol=1e-4)


def test_an_onnx_file_may_take_nhwc_and_leave_its_size_open(
    net: torch.nn.Sequential, pixels: Pixels, tmp_path: Path
) -> None:
    import onnx

    nhwc = Before(net, lambda x: x.permute(0, 3, 1, 2))
    path = export_onnx(nhwc, tmp_path / "m.onnx", (1, SIZE, SIZE, 3))
    model = onnx.load(path)
    for i, name in ((0, "batch"), (1, "height"), (2, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[i].dim_param = name
    onnx.save(model, path)
    for channels in ("rgb", "bgr"):
        (tmp_path / channels).mkdir()
        images = pixels[0] if channels == "rgb" else pixels[0][..., ::-1]
        artifact = kept(path, tmp_path / channels, channels=channels)
        found = (
            onnx.load(timm_models.restore(artifact)[0]).graph.input[0].type.tensor_type.shape.dim
        )
        assert [d.dim_value for d in found] == [1, SIZE, SIZE, 3]
        np.testing.assert_allclose(scores_of(artifact, images), expected(net, pixels[0]), atol=1e-4)


@pytest.mark.parametrize("way", ["kernel", "gather"])
def test_a_bgr_onnx_file_is_kept_as_one_that_takes_rgb(
    net: torch.nn.Sequential, pixels: Pixels, tmp_path: Path, way: str
) -> None:
    import onnx

    bgr = in_bgr(net)
    model = bgr if way == "kernel" else Before(bgr, lambda x: torch.relu(x + 1) - 1)
    artifact = kept(export_onnx(model, tmp_path / "m.onnx"), tmp_path, channels="bgr")
    np.testing.assert_allclose(scores_of(artifact, pixels[0]), expected(net, pixels[0]), atol=1e-4)
    operators = [node.op_type for node in onnx.load(timm_models.restore(artifact)[0]).graph.node]
    assert ("Gather" in operators) == (way == "gather")


def test_weights_beside_an_onnx_file_are_taken_in_and_count_as_its_content(
    net: torch.nn.Sequential, onnx_file: Path, pixels: Pixels, tmp_path: Path
) -> None:
    import onnx

    path = tmp_path / "m.onnx"
    onnx.save(
        onnx.load(onnx_file), path, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    artifact = kept(path, tmp_path)
    assert set(artifact.files) == {"model.onnx"}
    np.testing.assert_allclose(scores_of(artifact, pixels[0]), expected(net, pixels[0]), atol=1e-4)
    before = content_digest(path)
    (tmp_path / "w.bin").write_bytes((tmp_path / "w.bin").read_bytes()[::-1])
    assert content_digest(path) != before
    (tmp_path / "w.bin").unlink()
    with pytest.raises(WeightsError, match=r"keeps its weights in w\.bin, which is not there"):
        content_digest(path)


def test_weights_outside_the_folder_of_an_onnx_file_are_not_read(
    onnx_file: Path, tmp_path: Path
) -> None:
    import onnx

    (tmp_path / "inner").mkdir()
    model, path = onnx.load(onnx_file), tmp_path / "inner" / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    content = path.read_bytes().replace(b"w.bin", b"../.x")
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="outside its folder"):
        content_digest(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG....", b"<html>404</html>" * 9], ids=len)
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=r"m\.onnx is not an ONNX file"):
        content_digest(tmp_path / "m.onnx")


def test_scores_for_other_classes_are_refused(onnx_file: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="gives 4 scores, the data has 2 classes"):
        kept(onnx_file, tmp_path, classes=("a", "b"))


class TwoInputs(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x + y).mean((2, 3))


def altered(path: Path, into: Path, change: Callable[[Any], None]) -> Path:
    import onnx

    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, into / "m.onnx")
    return into / "m.onnx"


def _second_output(graph: Any) -> None:
    import onnx

    name = graph.node[0].output[0]
    graph.output.append(onnx.helper.make_tensor_value_info(name, 1, ["a", "b", "c", "d"]))


def _uint8(graph: Any) -> None:
    graph.input[0].type.tensor_type.elem_type = 2


def _other_size(graph: Any) -> None:
    graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64


def _rank_2(graph: Any) -> None:
    del graph.input[0].type.tensor_type.shape.dim[2:]


def _not_a_number(graph: Any) -> None:
    import onnx

    tensor = graph.initializer[0]
    bad = np.full(tensor.dims, np.nan, np.float32)
    tensor.CopyFrom(onnx.numpy_helper.from_array(bad, tensor.name))


def _own_operator(graph: Any) -> None:
    graph.node[0].domain = "org.example"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_second_output, "has 2 outputs"),
        (_uint8, "is UINT8, FLOAT expected"),
        (_other_size, r"has the shape \[1, 3, 64, 32\], \[1, 3, 32, 32\] or"),
        (_rank_2, r"has the shape \[1, 3\]"),
        (_not_a_number, "hold NaN or infinity"),
        (_own_operator, "operators that are not ONNX's own"),
    ],
)
def test_an_onnx_file_that_is_no_classifier_of_one_image_is_refused(
    onnx_file: Path, tmp_path: Path, change: Callable[[Any], None], words: str
) -> None:
    with pytest.raises(WeightsError, match=words) as caught:
        kept(altered(onnx_file, tmp_path, change), tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_an_onnx_file_of_two_inputs_is_refused(tmp_path: Path) -> None:
    shape = (1, 3, SIZE, SIZE)
    torch.onnx.export(
        TwoInputs(), (torch.zeros(shape), torch.zeros(shape)), tmp_path / "m.onnx", dynamo=True,
        verbose=False,
    )  # fmt: skip
    with pytest.raises(WeightsError, match=r"has 2 inputs \(x, y\), one expected"):
        kept(tmp_path / "m.onnx", tmp_path)


def test_an_onnx_file_that_is_quantised_already_is_refused(onnx_file: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(onnx_file, tmp_path / "m.onnx")
    with pytest.raises(WeightsError, match="is quantised already") as caught:
        kept(tmp_path / "m.onnx", tmp_path)
    assert "float model" in str(caught.value.hint)


# Keras


@pytest.mark.parametrize("form", ["m.keras", "m.h5", "saved_model"])
def test_a_keras_model_keeps_its_scores(
    net: torch.nn.Sequential, keras_model: Any, pixels: Pixels, tmp_path: Path, form: str
) -> None:
    path = tmp_path / form
    keras_model.save(path) if path.suffix else keras_model.export(path, verbose=False)
    artifact = kept(path, tmp_path)
    card = artifact.described_by(FloatMetadata).card
    assert (card.format, card.arch) == ("keras", path.stem)
    assert card.parameters == sum(p.numel() for p in net.parameters())
    artifact.verify()
    np.testing.assert_allclose(scores_of(artifact, pixels[0]), expected(net, pixels[0]), atol=1e-4)


def test_torchvision_can_be_loaded_after_keras() -> None:
    code = "from edgekit.models import _keras as f; f._need('keras'); import torchvision"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_file_of_keras_2_keeps_its_scores(pixels: Pixels, tmp_path: Path) -> None:
    old = pytest.importorskip("tf_keras", reason="Keras 2 (tf_keras) comes with [test]")
    model = old.applications.MobileNetV2(
        (SIZE, SIZE, 3), alpha=0.35, weights=None, classes=len(CLASSES), classifier_activation=None
    )
    model.compile("adam", "mse")  # a compiled model's file holds its optimizer too
    model.save(tmp_path / "m.h5")
    artifact = kept(tmp_path / "m.h5", tmp_path)
    images = (pixels[0] / 255).astype(np.float32)
    np.testing.assert_allclose(
        scores_of(artifact, pixels[0]), model.predict(images, verbose=0), atol=1e-5
    )
    assert foreign.scorer(*timm_models.restore(artifact))(images).std() > 0


@pytest.mark.parametrize("form", ["m.keras", "m.h5"])
def test_a_bgr_keras_model_is_kept_as_one_that_takes_rgb_the_same_each_time(
    net: torch.nn.Sequential, keras_model: Any, pixels: Pixels, tmp_path: Path, form: str
) -> None:
    in_bgr_keras(keras_model).save(tmp_path / form)
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        artifact = kept(tmp_path / form, tmp_path / name, channels="bgr")
        digests.add(artifact.digest)
    assert len(digests) == 1
    np.testing.assert_allclose(scores_of(artifact, pixels[0]), expected(net, pixels[0]), atol=1e-4)


def test_keras_models_of_other_shapes_are_refused(keras_model: Any, tmp_path: Path) -> None:
    keras = _keras._need("keras")
    layers, image = keras.layers, keras.Input((SIZE, SIZE, 3))
    pooled = layers.GlobalAveragePooling2D()(image)
    large = keras.Input((64, 64, 3))
    other = keras.Input((SIZE, SIZE, 3))
    cases = {
        "has 2 outputs": keras.Model(image, [pooled, layers.Dense(4)(pooled)]),
        "has 2 inputs": keras.Model([image, other], layers.Add()([image, other])),
        r"takes the shape \['\?', 64, 64, 3\]": keras.Model(large, layers.Flatten()(large)),
        "gives 3 scores, the data has 4 classes": keras.Model(image, pooled),
    }
    for i, (words, model) in enumerate(cases.items()):
        path = tmp_path / str(i) / "m.keras"
        path.parent.mkdir()
        model.save(path)
        with pytest.raises(WeightsError, match=words):
            kept(path, path.parent)


def test_a_saved_model_cannot_be_given_another_channel_order(
    keras_model: Any, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"cannot be changed \(channels: bgr\)"):
        kept(tmp_path / "m", tmp_path, channels="bgr")


def keras_file(path: Path, *layers: Any) -> Path:
    """A .keras file as far as its description goes, which is read before anything is loaded."""
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": list(layers)}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({**config, "registered_name": None}))
    return path


def layer(name: str, module: str | None = "keras.layers", **fields: Any) -> Any:
    return {"module": module, "class_name": name, "config": {"name": "odd"}, **fields}


@pytest.mark.parametrize(
    "entry",
    [
        layer("Lambda"),
        layer("TFSMLayer"),
        layer("TorchModuleWrapper"),
        layer("Mine", "my_package.layers", registered_name="Mine"),
        layer("Mine", None, registered_name="Custom>Mine"),
        layer("Activation", config={"name": "odd", "activation": layer("function", "builtins")}),
        layer("Wrapper", config={"layer": layer("__lambda__", None)}),
    ],
    ids=str,
)
def test_a_keras_file_that_holds_code_is_refused_before_keras_reads_it(
    tmp_path: Path, entry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("the file was loaded")

    monkeypatch.setattr(_keras, "_load", never)
    path = keras_file(tmp_path / "m.keras", layer("Dense"), entry)
    with pytest.raises(WeightsError, match="holds code or layers of its maker's own"):
        kept(path, tmp_path)


def test_a_real_lambda_layer_does_not_run(tmp_path: Path) -> None:
    keras = _keras._need("keras")
    image = keras.Input((SIZE, SIZE, 3))
    path = tmp_path / "pwned"
    model = keras.Model(image, keras.layers.Lambda(lambda x: x * 2, name="evil")(image))
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        with pytest.raises(WeightsError, match=r"Lambda \(evil\)") as caught:
            kept(tmp_path / name, tmp_path)
        assert "could run any code" in str(caught.value.hint)
    assert not path.exists()


def test_a_saved_model_that_calls_python_or_files_is_refused(tmp_path: Path) -> None:
    tensorflow = _keras._need("tensorflow")

    def read(x: Any) -> Any:
        text = tensorflow.io.read_file("/etc/hostname")
        return tensorflow.reduce_mean(x, (1, 2)) + float(1) * tensorflow.cast(
            tensorflow.strings.length(text), tensorflow.float32
        )

    spec = tensorflow.TensorSpec([None, SIZE, SIZE, 3], name="x")
    module = tensorflow.Module()
    module.read = tensorflow.function(read, input_signature=[spec])
    tensorflow.saved_model.save(module, str(tmp_path / "m"), signatures=module.read)
    with pytest.raises(WeightsError, match="ReadFile"):
        kept(tmp_path / "m", tmp_path, classes=("a", "b", "c"))


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + b"\0" * 50, b"<html>404</html>"], ids=len)
def test_what_is_no_keras_model_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="is not a Keras model"):
        kept(tmp_path / name, tmp_path)


def test_keras_weights_without_their_model_are_refused(keras_model: Any, tmp_path: Path) -> None:
    keras_model.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(WeightsError, match="holds weights without a model") as caught:
        kept(tmp_path / "m.weights.h5", tmp_path)
    assert "model.save" in str(caught.value.hint)


# From recipe to build

RECIPE = """\
model: {{weights: {weights}, {model}}}
data: {{source: imagefolder, path: images, image_size: 32}}
stages:
{stages}
gates: {{max_accuracy_drop: 20}}
"""
STAGES = "  - quantize: {method: ptq, samples: 24}\n  - export"


def recipe_text(weights: str, model: str = "input_range: 0..1", stages: str = STAGES) -> str:
    return RECIPE.format(weights=weights, model=model, stages=stages)


def target(*runtimes: str, **fields: Any) -> Target:
    return Target(
        name="board", description="", runtimes=runtimes, cpu="cortex-a76", threads=1, **fields
    )


def planned(folder: Path, text: str, board: Target, store: Store) -> Plan:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return make_plan(load_recipe(path), [board], store)


def build(folder: Path, text: str, board: Target, store: Store) -> Build:
    return execute(planned(folder, text, board, store), store, Silent())


def check_shipped(result: Build, variants: set[str]) -> None:
    (built,) = result.targets
    assert not built.faults
    assert set(built.shipped) == variants
    for row in built.rows:
        assert row.validation.top1.value > 80
        assert row.validation.macs > 0
        if row.row.baseline:
            assert row.validation.sqnr_db > 60
    for row in built.shipped.values():
        assert row.artifact.metadata["precision"] == "int8"


def wrong(folder: Path, file: str, model: str, store: Store) -> InputError:
    with pytest.raises(InputError, match="is not what the recipe says of it") as caught:
        build(folder, recipe_text(file, model), target("onnxruntime"), store)
    assert f"model.weights: {file}" in str(caught.value)
    assert "of 72 training images rightly" in str(caught.value)
    return caught.value


@pytest.mark.parametrize("declared", ["0..1", "-1..1", "imagenet", "in numbers"])
def test_a_wrong_input_range_stops_the_build_with_the_right_one(
    net: torch.nn.Sequential, colours: Path, store: Store, declared: str
) -> None:
    if not (colours / "bytes.onnx").exists():
        export_onnx(Before(net, lambda x: x / 255), colours / "bytes.onnx")
    in_numbers = declared == "in numbers"
    line = "mean: 0.4, std: 0.3" if in_numbers else f"input_range: {declared}"
    error = wrong(colours, "bytes.onnx", line, store)
    if not in_numbers:
        assert f"input range {declared}, channels rgb" in str(error)
    without = ", without mean and std," if in_numbers else ""
    assert str(error.hint) == f"in the recipe's model section{without} write input_range: 0..255"


def test_a_wrong_channel_order_stops_the_build_with_the_right_one(
    net: torch.nn.Sequential, colours: Path, store: Store
) -> None:
    export_onnx(in_bgr(net), colours / "bgr.onnx")
    error = wrong(colours, "bgr.onnx", "mean: 0, std: 1", store)
    assert str(error.hint).endswith("write channels: bgr")
    export_onnx(net, colours / "rgb.onnx")
    error = wrong(colours, "rgb.onnx", "mean: 0, std: 1, channels: bgr", store)
    assert str(error.hint).endswith("write channels: rgb")


def test_a_wrong_class_order_stops_the_build_with_the_right_one_which_then_builds(
    net: torch.nn.Sequential, colours: Path, store: Store
) -> None:
    export_onnx(Before(net, None, lambda y: y[:, [3, 0, 2, 1]]), colours / "turned.onnx")
    error = wrong(colours, "turned.onnx", "input_range: 0..1", store)
    order = 'classes: ["sun", "dim", "red", "green"]'
    assert str(error.hint).endswith(f"write {order}")
    text = recipe_text("turned.onnx", f"input_range: 0..1, {order}")
    result = build(colours, text, target("onnxruntime"), store)
    check_shipped(result, {"onnxruntime"})
    export = StepId("export", target="board", variant="onnxruntime")
    card = Card.model_validate(result.artifacts[export].metadata["card"])
    assert card.classes == ("sun", "dim", "red", "green")


def test_a_bgr_file_of_bytes_ships_as_int8_that_takes_rgb(
    net: torch.nn.Sequential, colours: Path, store: Store, tmp_path: Path
) -> None:
    """And its input is the pixel grid, so that the shipped file computes nothing before it."""
    import onnx

    export_onnx(in_bgr_bytes(net), colours / "caffe.onnx")
    text = recipe_text("caffe.onnx", f"mean: 0, std: {1 / 255}, channels: bgr")
    other = Variant(runtime="litert", precision="float16")
    result = build(colours, text, target("onnxruntime", alternatives=(other,)), store)
    check_shipped(result, {"onnxruntime"})
    publish(result, tmp_path)
    folder = tmp_path / "recipe" / "board"
    model = onnx.load(folder / "onnxruntime" / "model.onnx")
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert not {"Cast", "Mul", "Sub", "Gather"} & {node.op_type for node in model.graph.node}
    assert (folder / "onnxruntime" / "labels.txt").read_text().split() == list(CLASSES)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["artifacts"]["onnxruntime"]["model"]["arch"] == "caffe"
    reason = "litert does not read an ONNX file, as caffe.onnx is"
    assert manifest["left_out"] == {"litert-float16": reason}
    assert json.loads((folder / "report.json").read_text())["arch"] == "caffe"
    assert not (folder / "float.safetensors").exists()


@pytest.mark.parametrize("form", ["m.keras", "m.h5", "saved_model", "open.keras"])
@pytest.mark.slow
def test_a_keras_model_ships_on_every_runtime_that_reads_it(
    keras_model: Any, colours: Path, store: Store, form: str
) -> None:
    path = colours / form
    if form.startswith("open"):  # of any height and width
        keras = _keras._need("keras")
        weights = keras_model.get_weights()
        image = keras.Input((None, None, 3))
        keras_model = keras.models.clone_model(keras_model, input_tensors=image)
        keras_model.set_weights(weights)
    keras_model.save(path) if path.suffix else keras_model.export(path, verbose=False)
    runtimes = [name for name, runtime in find_runtimes().items() if "keras" in runtime.reads]
    result = build(colours, recipe_text(form), target(*runtimes), store)
    check_shipped(result, {"litert", "openvino", *runtimes})


@pytest.mark.slow
def test_an_onnx_file_and_a_bgr_keras_model_ship_on_openvino(
    net: torch.nn.Sequential, keras_model: Any, colours: Path, store: Store
) -> None:
    export_onnx(net, colours / "plain.onnx")
    in_bgr_keras(keras_model).save(colours / "bgr.keras")
    board = target("openvino")
    check_shipped(build(colours, recipe_text("plain.onnx"), board, store), {"openvino"})
    text = recipe_text("bgr.keras", "input_range: 0..1, channels: bgr")
    check_shipped(build(colours, text, target("litert", "openvino"), store), {"litert", "openvino"})


# What a recipe may not say


@pytest.mark.parametrize(
    ("model", "place", "words"),
    [
        ("weights: m.onnx", "model.input_range", "0..255, imagenet; the build tries all"),
        ("weights: m.onnx, mean: 0", "model.input_range", "both mean and std"),
        ("weights: m.keras, mean: 0, std: 1, input_range: 0..1", "model.input_range", "already"),
        ("weights: m.h5, input_range: 0..2", "model.input_range", "'0..1', '-1..1'"),
        ("weights: m.onnx, input_range: 0..1, arch: vgg", "model.arch", "not for an ONNX file"),
        ("weights: folder/, input_range: 0..1, arch: vgg", "model.arch", "not for a Keras model"),
        ("weights: m.onnx, input_range: 0..1, head: new", "model.head", "keeps its head"),
        ("weights: m.pt, arch: vgg, channels: bgr", "model.channels", "timm models take rgb"),
        ("weights: m.pt", "model.arch", "this key is required"),
        ("weights: m.onnx, input_range: 0..1, classes: [a, a]", "model.classes", "named twice"),
    ],
)
def test_what_a_model_section_may_not_say_is_refused_with_its_line(
    write_recipe: Callable[..., Path], model: str, place: str, words: str
) -> None:
    text = f"model: {{{model}}}\ndata: {{source: imagefolder, path: i, image_size: 32}}\n"
    with pytest.raises(ConfigError) as caught:
        load_recipe(write_recipe(text + "stages: [export]\n"))
    found = {p.where: (p.line, p.message) for p in caught.value.problems}
    assert found[place][0] == 1
    assert words in found[place][1]


def test_a_stage_that_trains_needs_a_timm_model(write_recipe: Callable[..., Path]) -> None:
    text = recipe_text("m.onnx", stages="  - export\n  - finetune: {epochs: 1}")
    with pytest.raises(ConfigError) as caught:
        load_recipe(write_recipe(text))
    (problem,) = [p for p in caught.value.problems if "timm" in p.message]
    assert (problem.line, problem.where) == (5, "stages[1]")
    assert "m.onnx is an ONNX file" in problem.message


@pytest.mark.parametrize("order", ["[dim, green, red]", "[dim, green, red, blue]"])
def test_classes_that_are_not_the_datas_are_refused(
    colours: Path, onnx_file: Path, store: Store, order: str
) -> None:
    (colours / "c.onnx").write_bytes(onnx_file.read_bytes())
    text = recipe_text("c.onnx", f"input_range: 0..1, classes: {order}")
    with pytest.raises(InputError, match="lacking sun; unknown"):
        planned(colours, text, target("onnxruntime"), store)


def test_a_required_runtime_that_does_not_read_the_file_is_refused_before_anything_runs(
    colours: Path, onnx_file: Path, store: Store
) -> None:
    (colours / "c.onnx").write_bytes(onnx_file.read_bytes())
    with pytest.raises(InputError, match=r"c\.onnx cannot be built for board: litert") as caught:
        planned(colours, recipe_text("c.onnx"), target("litert"), store)
    assert "an ONNX file can be built for onnxruntime" in str(caught.value.hint)
    assert not list(store.root.glob("steps/*"))


def test_the_check_is_a_step_of_its_own_on_training_images(
    colours: Path, onnx_file: Path, store: Store
) -> None:
    (colours / "c.onnx").write_bytes(onnx_file.read_bytes())
    steps: dict[str, Step] = {
        s.id: s for s in planned(colours, recipe_text("c.onnx"), target("onnxruntime"), store).steps
    }
    assert steps["check-source"].inputs == {"model": "source", "images": "images/check-source"}
    settings = steps["images/check-source"].components["settings"]
    assert settings["calibration"]["samples"] == source_check.IMAGES
    assert ["squash", "upright", "bicubic"] in settings["others"]
    assert {way[1] for way in settings["others"]} == {"upright"}, "no photo has an orientation"
    assert list(steps).index("check-source") < list(steps).index("reference")


@pytest.mark.parametrize("name", ["m.onnx", "sm/"])
def test_each_step_that_reads_the_file_is_confined_whatever_an_earlier_one_says_it_is(
    colours: Path, onnx_file: Path, store: Store, name: str
) -> None:
    path = colours / name / ("saved_model.pb" if name == "sm/" else "")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(onnx_file.read_bytes())
    via = Variant(runtime="openvino", via="onnxruntime")
    fields = {"alternatives": (via,)} if name == "m.onnx" else {}
    plan = planned(colours, recipe_text(name), target("openvino", **fields), store)
    actions = {type(step.action).__name__: step.action for step in plan.steps}
    # They read no model, or have the agent do it, which is confined itself.
    safe = {"SplitData", "DecodeImages", "Validate", "Choose"} & actions.keys()
    assert {kind for kind, each in actions.items() if each.confinement({})} == {*actions} - safe
    assert {"LoadForeign", "OnRuntime", "Check"} < actions.keys()
    assert ("TakeOver" in actions) == (name == "m.onnx")
    limits = actions["OnRuntime"].confinement({})
    assert limits == confinement(f"model.weights: {Path(name).name}", long=True)


def test_a_suffix_that_hides_a_folder_or_no_suffix_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net_1.0").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "checkpoint").touch()
    (tmp_path / "net_1.0" / "saved_model.pb").touch()
    assert ModelSource(weights="net_1.0/", input_range="0..1").weights_file()
    for name, fields, words in (
        ("net_1.0", {"arch": "vgg"}, "folder of a SavedModel, not a torch model"),
        ("empty", {"input_range": "0..1"}, "holds no saved_model.pb"),
        ("checkpoint", {"input_range": "0..1"}, "without a suffix"),
    ):
        with pytest.raises(WeightsError, match=words):
            ModelSource.model_validate(dict(weights=name, **fields)).weights_file()
