"""A file of a build leads back to its float original and its images; what is missing is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgekit.build_folder.float_twin import InspectOptions, locate
from edgekit.devices.bundle.make import bundle_of
from edgekit.devices.bundle.options import BundleOptions
from edgekit.devices.estimate.estimate import estimate_for
from edgekit.engine.observer import Silent
from edgekit.engine.store import Store
from edgekit.errors import DataError, InputError, IntegrityError
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import execute
from edgekit.report.publish import publish
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target, load_target
from tests.conftest import write_images

pytest.importorskip("onnxslim")

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1}}, {quantize: {method: ptq, samples: 8, max_float_macs: 1}}, export]
allow_untrained: true
"""


@dataclass
class World:
    """A build whose onnxruntime variant passed, and one of the same recipe that broke a gate."""

    root: Path
    store: Store

    @property
    def variant(self) -> Path:
        return self.root / "build/tiny/board/onnxruntime"

    @property
    def broken(self) -> Path:
        return self.root / "build/broken/board/onnxruntime"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("originals"), Store(tmp_path_factory.mktemp("store")))
    write_images(made.root / "images")
    board = Target(name="board", description="", runtimes=("onnxruntime",), cpu="x86", threads=1)
    for name, gates in (("tiny", ""), ("broken", "gates: {max_size_mb: 0.001}\n")):
        (made.root / f"{name}.yaml").write_text(RECIPE + gates)
        recipe = load_recipe(made.root / f"{name}.yaml")
        build = execute(make_plan(recipe, [board], made.store), made.store, Silent())
        publish(build, made.root / "build")
    return made


def test_a_variants_folder_leads_to_all_that_is_needed(world: World) -> None:
    pair = locate(world.variant, world.store, InspectOptions(samples=4))
    assert pair.runtime.name == "onnxruntime"
    assert pair.path == world.variant / "model.onnx"
    assert (pair.form.dtype, pair.float_form.dtype) == ("uint8", "float32")
    assert pair.float_path.parent.parent == world.store.root / "objects"
    assert pair.images.shape == (4, 32, 32, 3)
    kept = np.load(
        next(p for p in world.store.root.glob("objects/*/images.npy") if _is_calibration(p))
    )
    assert all(any(np.array_equal(image, each) for each in kept) for image in pair.images)


def _is_calibration(path: Path) -> bool:
    record = json.loads((path.parent / "artifact.json").read_text())
    return bool(record["metadata"]["split"] == "calibration")


def test_the_model_in_it_is_as_good_as_the_folder(world: World) -> None:
    assert (
        locate(world.variant / "model.onnx", world.store, InspectOptions()).path.parent
        == world.variant
    )
    with pytest.raises(InputError, match=r"labels\.txt is not the model"):
        locate(world.variant / "labels.txt", world.store, InspectOptions())


def test_samples_are_spread_over_all_classes_and_no_more_than_there_are(world: World) -> None:
    assert len(locate(world.variant, world.store, InspectOptions(samples=100)).images) == 8


def test_what_broke_a_gate_was_not_published_and_is_found_all_the_same(world: World) -> None:
    assert not world.broken.exists()
    pair = locate(world.broken, world.store, InspectOptions())
    assert pair.path.is_relative_to(world.store.root)
    assert pair.path != pair.float_path


def test_other_images_may_be_named(world: World, images_folder: Path) -> None:
    pair = locate(world.variant, world.store, InspectOptions(images=images_folder, samples=5))
    assert pair.images.shape == (5, 32, 32, 3)
    assert str(images_folder) in pair.images_from


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_images_that_are_none(world: World, content: bytes | None, tmp_path: Path) -> None:
    if content:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"no images in|cannot be read"):
        locate(world.variant, world.store, InspectOptions(images=tmp_path))
    with pytest.raises(DataError, match="is no folder"):
        locate(world.variant, world.store, InspectOptions(images=tmp_path / "nowhere"))


def test_another_store_is_told_with_the_command_that_mends_it(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was not built with the store") as caught:
        locate(world.variant, Store(tmp_path), InspectOptions())
    hint = str(caught.value.hint)
    assert "--store FOLDER; or build it again, in the recipe's folder" in hint
    assert f"`edgekit build tiny.yaml --target board --store {tmp_path}`" in hint


def lose(world: World, tmp_path: Path, is_lost: Callable[[dict[str, object]], bool]) -> Store:
    """The store without the objects whose metadata say so."""
    root = tmp_path / "store"
    shutil.copytree(world.store.root, root)
    for record in root.glob("objects/*/artifact.json"):
        if is_lost(json.loads(record.read_text())["metadata"]):
            shutil.rmtree(record.parent)
    return Store(root)


def test_a_float_model_that_was_deleted(world: World, tmp_path: Path) -> None:
    store = lose(world, tmp_path, lambda metadata: metadata.get("precision") == "float32")
    with pytest.raises(InputError, match=r"float model .* is not in the store") as caught:
        locate(world.variant, store, InspectOptions())
    assert "--float" in str(caught.value.hint)


def test_images_that_were_deleted(world: World, tmp_path: Path) -> None:
    store = lose(world, tmp_path, lambda metadata: metadata.get("split") == "calibration")
    with pytest.raises(InputError, match="no calibration images") as caught:
        locate(world.variant, store, InspectOptions())
    assert "--images" in str(caught.value.hint)


def test_channels_that_corrections_rescaled_are_known(world: World, tmp_path: Path) -> None:
    assert not locate(world.variant, world.store, InspectOptions()).rescaled
    store = lose(world, tmp_path, lambda _: False)
    for path in store.root.glob("objects/*/artifact.json"):
        record = json.loads(path.read_text())
        if record["metadata"].get("quantization"):
            record["metadata"]["quantization"]["corrections"] = ["equalise", "bias"]
            path.chmod(0o644)
            path.write_text(json.dumps(record))
    assert locate(world.variant, store, InspectOptions()).rescaled


def test_a_targets_folder_names_its_variants(world: World) -> None:
    with pytest.raises(InputError, match="several variants") as caught:
        locate(world.variant.parent, world.store, InspectOptions())
    assert "onnxruntime" in str(caught.value.hint)


def test_a_folder_of_no_build(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a variant's folder"):
        locate(tmp_path / "nowhere", world.store, InspectOptions())


def test_a_manifest_that_is_none(world: World, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        locate(tmp_path, world.store, InspectOptions())


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        ("{}", InputError, r"no manifest of a variant: file: this field is missing"),
        ("[]", InputError, r"manifest\.json cannot be read: a mapping expected"),
        (None, IntegrityError, r"model\.onnx is not the file that was built and judged"),
        ("gone", IntegrityError, r"model\.onnx is missing"),
    ],
)
def test_a_published_folder_that_was_changed(
    world: World, told: str | None, error: type[Exception], words: str, tmp_path: Path
) -> None:
    """Whatever takes a variant's folder looks first whether it is the one that was judged."""
    folder = tmp_path / "board" / "onnxruntime"
    shutil.copytree(world.variant, folder)
    shutil.copy(world.variant.parent / "report.json", folder.parent)
    model = folder / "model.onnx"
    if told == "gone":
        model.unlink()
    elif told is not None:
        (folder / "manifest.json").write_text(told)
    else:
        content = bytearray(model.read_bytes())
        content[-9] ^= 1
        model.write_bytes(content)
    with pytest.raises(error, match=words):
        locate(folder, world.store, InspectOptions())
    with pytest.raises(error, match=words), bundle_of(folder, world.store, BundleOptions()):
        pass
    with pytest.raises(error, match=words):
        estimate_for(folder, load_target("rpi5"), None)


def test_a_float_file_has_nothing_to_be_compared_with(world: World, tmp_path: Path) -> None:
    report = json.loads((world.variant.parent / "report.json").read_text())
    report["rows"] = [row for row in report["rows"] if row["baseline"]]
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match="is a float file"):
        locate(tmp_path / "onnxruntime", world.store, InspectOptions())


@pytest.mark.slow
def test_what_took_over_another_runtimes_file_is_compared_as_that(
    world: World, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    via = Variant(runtime="openvino", via="onnxruntime")
    board = Target(
        name="via",
        description="",
        runtimes=("openvino",),
        alternatives=(via,),
        cpu="x86-64",
        threads=1,
    )
    plan = make_plan(load_recipe(world.root / "tiny.yaml"), [board], world.store)
    publish(execute(plan, world.store, Silent()), tmp_path)
    pair = locate(tmp_path / "tiny/via/openvino-via-onnxruntime", world.store, InspectOptions())
    assert pair.runtime.name == "onnxruntime"
    assert {pair.path.name, pair.float_path.name} == {"model.onnx"}


def test_two_files_from_anywhere(world: World, images_folder: Path) -> None:
    original = locate(world.variant, world.store, InspectOptions()).float_path
    file, half = world.variant / "model.onnx", (0.5, 0.5, 0.5)
    asked = InspectOptions(
        float_file=original, images=images_folder, samples=2, mean=half, std=half
    )
    pair = locate(file, world.store, asked)
    assert (pair.form.dtype, pair.float_form.mean) == ("uint8", half)
    assert pair.images.shape == (2, 32, 32, 3)

    with pytest.raises(InputError, match=r"to be named: --mean, --std$"):
        locate(file, world.store, InspectOptions(float_file=original, images=images_folder))
    with pytest.raises(InputError, match=r"to be named: --images, --std$") as caught:
        locate(file, world.store, InspectOptions(float_file=original, mean=half))
    assert "--images FOLDER_OF_IMAGES --mean 0.5,0.5,0.5 --std 0.229," in str(caught.value.hint)
    with pytest.raises(InputError, match="is no file"):
        locate(file, world.store, InspectOptions(float_file=original / "nowhere"))
    with pytest.raises(InputError, match="not two files of one runtime"):
        locate(world.variant / "labels.txt", world.store, InspectOptions(float_file=original))


def test_a_file_of_no_build_is_told_all_that_is_missing_at_once(world: World) -> None:
    model, shown = world.root / "my model.onnx", f"'{world.root / 'my model.onnx'}'"
    with pytest.raises(InputError, match="no such file"):
        locate(model, world.store, InspectOptions())
    shutil.copy(world.variant / "model.onnx", model)
    with pytest.raises(InputError, match="named: --float, --images, --mean, --std") as caught:
        locate(model, world.store, InspectOptions())
    assert f"edgekit inspect {shown} --float FLOAT_FILE.onnx --images" in str(caught.value.hint)


def test_a_file_that_is_no_model(world: World, images_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    asked = InspectOptions(float_file=tmp_path / "model.onnx", images=images_folder)
    with pytest.raises(InputError, match=r"model\.onnx"):
        locate(world.variant / "model.onnx", world.store, asked)
