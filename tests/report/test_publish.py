"""What a build leaves for a person to copy."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices.bundle.make import bundle_of
from edgekit.devices.bundle.options import BundleOptions
from edgekit.engine.action import Context
from edgekit.engine.observer import Silent
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import IntegrityError
from edgekit.models.card import WEIGHTS_FILE
from edgekit.pipeline.draft import SPLITS
from edgekit.pipeline.plan import make_plan
from edgekit.pipeline.run import execute
from edgekit.pipeline.runtime_steps import Precompile
from edgekit.pipeline.variant_steps import PRECOMPILE
from edgekit.report.publish import publish
from edgekit.report.published_files import remove_last_passed, remove_variants, swap
from edgekit.runtimes.contract.settings import Variant
from edgekit.spec.recipe import load_recipe
from edgekit.spec.target import Target

RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1}}, {quantize: {method: ptq, samples: 8, max_float_macs: 1}}, export]
allow_untrained: true
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Of all tests: the network is trained once."""
    return Store(tmp_path_factory.mktemp("publish") / "store")


def test_a_blob_lies_beside_the_file_it_was_compiled_from(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino comes with [intel-npu]")
    from edgekit.runtimes.openvino import OpenVino

    recipe = write_recipe(RECIPE)
    board = Target(name="npu", description="", runtimes=("openvino",), cpu="x86-64", threads=1)
    build = execute(make_plan(load_recipe(recipe), [board], store), store, Silent())
    ((_, folder),) = publish(build, recipe.parent / "build")
    assert not (folder / "openvino/model.blob").exists()

    # As on a machine with the device, here the CPU, whose plug-in exports as the NPU's does.
    action = Precompile(OpenVino(), "CPU")
    context = Context(progress=lambda *_: None, partial=store.partial("blob"))
    with store.workspace() as work:
        metadata = action.run(
            {"model": build.artifacts[StepId("export", target="npu", variant="openvino")]},
            work,
            context,
        )
        blob = store.commit("blob", work, metadata, (), 0.0)
    precompiled = StepId(PRECOMPILE, target="npu", variant="openvino")
    with_blob = replace(build, artifacts={**build.artifacts, precompiled: blob})
    publish(with_blob, recipe.parent / "build")
    manifest = json.loads((folder / "openvino/manifest.json").read_text())
    assert manifest["compiled_for"]["device"] == "CPU"
    assert manifest["files"]["model.blob"]["bytes"] > 0
    assert openvino.Core().import_model((folder / "openvino/model.blob").read_bytes(), "CPU")


def test_the_golden_scores_of_an_integer_file_are_the_codes_it_gives(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    recipe = write_recipe(RECIPE)
    integer = Variant(runtime="litert", io="integer")
    board = Target(
        name="phone", description="", runtimes=("litert",), alternatives=(integer,), cpu="arm64",
        threads=1,
    )  # fmt: skip
    build = execute(make_plan(load_recipe(recipe), [board], store), store, Silent())
    ((report, folder),) = publish(build, recipe.parent / "build")
    assert report.left_out == {}
    lies = folder / "litert-integer"
    run = interpreter.Interpreter(str(lies / "model.tflite")).get_signature_runner()
    given = run(image=np.load(lies / "golden_input.npy"))["scores"]
    expected = np.load(lies / "golden_scores.npy")
    assert given.dtype == expected.dtype == np.int8
    np.testing.assert_array_equal(given, expected)
    output = json.loads((lies / "manifest.json").read_text())["output"]
    scores = output["scale"] * (given.astype(float) - output["zero_point"])
    plain = np.load(folder / "litert/golden_scores.npy")
    np.testing.assert_allclose(scores, plain, atol=output["scale"])


def test_pages_of_an_earlier_build_do_not_stand_for_this_one(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> None:
    recipe = write_recipe(RECIPE)
    boards = [
        Target(name=name, description="", runtimes=("onnxruntime",), cpu="x", threads=1)
        for name in "ab"
    ]
    build = execute(make_plan(load_recipe(recipe), boards, store), store, Silent())
    publish(build, recipe.parent / "build")
    root = recipe.parent / "build/recipe"
    assert (root / "comparison.html").exists()
    failed = [build.targets[0], replace(build.targets[1], rows=[], faults=["onnxruntime compile"])]
    publish(replace(build, targets=failed), recipe.parent / "build")
    assert not (root / "comparison.html").exists()
    assert (root / "a/report.json").exists()
    assert not (root / "b/report.json").exists()
    assert (root / "b/onnxruntime/model.onnx").exists(), "what an earlier build shipped stays"


def flip_a_byte(path: Path) -> Callable[[], None]:
    """Damage a file of the store, at its end; what is returned puts it right."""
    path.chmod(0o644)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    def restore() -> None:
        path.write_bytes(whole)

    return restore


def test_what_leaves_the_store_is_verified_as_it_leaves(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> None:
    recipe = write_recipe(RECIPE)
    board = Target(name="board", description="", runtimes=("onnxruntime",), cpu="x", threads=1)
    build = execute(make_plan(load_recipe(recipe), [board], store), store, Silent())
    ((_, folder),) = publish(build, recipe.parent / "build")
    row = build.targets[0].rows[-1]
    images = build.artifacts[StepId("images/validation")]
    scores = build.artifacts[row.row.validation]
    trunk = [a for a in build.artifacts.values() if WEIGHTS_FILE in a.files]
    leaving = {
        "splits": build.artifacts[SPLITS].path / "splits.json",
        "model": row.artifact.path / "model.onnx",
        "weights": trunk[-1].path / WEIGHTS_FILE,
        "golden input": images.path / "images.npy",
        "golden scores": scores.path / "scores.npy",
    }
    for path in leaving.values():
        restore = flip_a_byte(path)
        with pytest.raises(IntegrityError, match=f"{path.name} is not what was stored"):
            publish(build, recipe.parent / "build")
        restore()
    publish(build, recipe.parent / "build")
    for path in (
        images.path / "images.npy",
        images.path / "labels.npy",
        scores.path / "scores.npy",
    ):
        restore = flip_a_byte(path)
        with (
            pytest.raises(IntegrityError, match=f"{path.name} is not what was stored"),
            bundle_of(folder, store, BundleOptions()),
        ):
            pass
        restore()


def test_the_report_says_what_was_said_of_each_image(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> None:
    recipe = write_recipe(RECIPE)
    board = Target(name="board", description="", runtimes=("onnxruntime",), cpu="x", threads=1)
    build = execute(make_plan(load_recipe(recipe), [board], store), store, Silent())
    ((report, folder),) = publish(build, recipe.parent / "build")
    assert report.judged
    listed = json.loads((folder / "splits.json").read_text())["validation"]
    found = zip(report.judged.names, report.judged.labels, report.judged.digests, strict=True)
    classes = report.data.classes
    assert [[n, classes[i], d] for n, i, d in found] == [[n, c, d[:16]] for n, c, d in listed]
    kept = [row for row in report.rows if row.predictions]
    assert [row.stage for row in kept] == ["finetune", "export"], "what lies between is not kept"
    scores = np.load(build.artifacts[build.targets[0].rows[-1].row.validation].path / "scores.npy")
    assert kept[-1].predictions
    assert kept[-1].predictions.classes == tuple(scores.argmax(axis=1).tolist())


def ship(folder: Path, name: str, content: bytes) -> None:
    """A variant's folder, as far as a manifest says what is edgekit's."""
    (folder / name).mkdir(parents=True)
    (folder / name / "model.onnx").write_bytes(content)
    (folder / name / "labels.txt").write_text("a\n")
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    manifest = {"variant": name, "files": {"model.onnx": entry}}
    (folder / name / "manifest.json").write_text(json.dumps(manifest))


def test_what_a_person_put_into_a_builds_folders_outlives_the_next_builds(
    images_folder: Path, write_recipe: Callable[..., Path], store: Store
) -> None:
    recipe = write_recipe(RECIPE)
    board = Target(name="board", description="", runtimes=("onnxruntime",), cpu="x", threads=1)
    build = execute(make_plan(load_recipe(recipe), [board], store), store, Silent())
    ((_, folder),) = publish(build, recipe.parent / "build")
    manifest = folder / "manifest.json"
    before = json.loads(manifest.read_text())
    # Variants that earlier builds shipped: one as it was, one in which a person worked.
    for name in ("litert", "openvino"):
        ship(folder, name, name.encode())
        listed = json.loads((folder / name / "manifest.json").read_text())
        before["artifacts"][name] = listed
    (folder / "openvino/model.onnx").write_bytes(b"edited")
    (folder / "openvino/result.json").write_text("{}")
    manifest.write_text(json.dumps(before))
    # A bundle beside the variants and one in a variant, as `edgekit bundle --out` made them.
    for bundle in (folder / "for-pi", folder / "onnxruntime/for-pi"):
        shutil.copytree(folder / "onnxruntime", bundle)
        (bundle / "result.json").write_text("{}")
    (folder / "onnxruntime/notes.txt").write_text("mine")
    (folder / "last-passed/mine").mkdir(parents=True)
    for name, text in (("mine/notes.txt", "mine"), ("litert-export/device-report.json", "{}")):
        (folder / "on-device" / name).parent.mkdir(parents=True)
        (folder / "on-device" / name).write_text(text)
    inode = (folder / "onnxruntime").stat().st_ino

    publish(build, recipe.parent / "build")
    assert not (folder / "litert").exists()
    assert sorted(p.name for p in (folder / "openvino").iterdir()) == ["model.onnx", "result.json"]
    assert (folder / "for-pi/manifest.json").exists()
    assert (folder / "for-pi/result.json").exists()
    assert (folder / "onnxruntime/for-pi/result.json").exists()
    assert (folder / "last-passed/mine").exists()
    assert [p.name for p in (folder / "on-device").iterdir()] == ["mine"]
    assert (folder / "onnxruntime").stat().st_ino == inode, "an unchanged build touches nothing"

    # Now the variant changes: it is swapped, and what is not edgekit's goes with it.
    (folder / "onnxruntime/labels.txt").write_text("others\n")
    publish(build, recipe.parent / "build")
    assert (folder / "onnxruntime/labels.txt").read_text() == "bar\ndisc\n"
    assert (folder / "onnxruntime/labels.edited.txt").read_text() == "others\n"
    assert (folder / "onnxruntime/for-pi/result.json").exists()
    assert (folder / "onnxruntime/notes.txt").read_text() == "mine"
    assert not list(folder.glob(".*.old"))

    # Changed once more, beside what was kept of the first change.
    (folder / "onnxruntime/labels.txt").write_text("yet others\n")
    for _ in range(2):
        publish(build, recipe.parent / "build")
    kept = sorted((folder / "onnxruntime").glob("*.edited*"))
    assert [path.read_text() for path in kept] == ["others\n", "yet others\n"]

    # Where the manifest is damaged, all that differs may be somebody's.
    (folder / "onnxruntime/manifest.json").write_text("{")
    (folder / "onnxruntime/labels.txt").write_text("more\n")
    publish(build, recipe.parent / "build")
    kept = sorted((folder / "onnxruntime").glob("*.edited*"))
    assert [path.read_text() for path in kept] == ["others\n", "yet others\n", "more\n"]


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_persons_file_under_a_name_of_edgekits_is_kept(tmp_path: Path, is_folder: bool) -> None:
    for name, content in (("old", b"a"), ("new", b"b")):
        ship(tmp_path, name, content)
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        (tmp_path / name / "manifest.json").write_text(json.dumps({**manifest, "beside": {}}))
    own = tmp_path / "old/golden_input.npy"
    own.mkdir() if is_folder else own.write_text("mine")
    (tmp_path / "new/golden_scores.npy").write_text("made")
    swap(tmp_path / "new", tmp_path / "old")
    assert own.exists()
    assert (tmp_path / "old/model.onnx").read_bytes() == b"b"
    remove_variants(tmp_path, {"old": json.loads((tmp_path / "old/manifest.json").read_text())})
    assert [path.name for path in (tmp_path / "old").iterdir() if "input" in path.name]


def test_a_manifest_leads_to_no_folder_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "board"
    ship(tmp_path, "elsewhere", b"model")
    ship(folder, "real", b"model")
    listed = json.loads((tmp_path / "elsewhere/manifest.json").read_text())
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    escaping = {"files": {"../../elsewhere/model.onnx": listed["files"]["model.onnx"]}}
    remove_variants(folder, {"../elsewhere": listed, "link": listed, "real": escaping})
    assert (tmp_path / "elsewhere/model.onnx").exists()
    assert (folder / "link/model.onnx").exists()


def test_last_passed_goes_where_nothing_of_a_person_is_in_it(tmp_path: Path) -> None:
    ship(tmp_path / "last-passed", "litert", b"model")
    (tmp_path / "last-passed/splits.json").write_text("{}")
    shutil.copytree(tmp_path / "last-passed/litert", tmp_path / "last-passed/for-pi")
    remove_last_passed(tmp_path / "last-passed", ("splits.json",))
    assert [p.name for p in (tmp_path / "last-passed").iterdir()] == ["for-pi"]
    shutil.rmtree(tmp_path / "last-passed/for-pi")
    ship(tmp_path / "last-passed", "litert", b"model")
    remove_last_passed(tmp_path / "last-passed", ("splits.json",))
    assert not (tmp_path / "last-passed").exists()
