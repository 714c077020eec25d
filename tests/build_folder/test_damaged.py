"""Manifests and reports that were changed by hand, cut off or written by something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.build_folder.manifest import TargetManifest
from edgekit.build_folder.reading import artifact_of, build_around, read_report
from edgekit.devices.bundle import make
from edgekit.devices.bundle.make import bundle_of
from edgekit.devices.bundle.options import BundleOptions
from edgekit.devices.estimate import estimate
from edgekit.devices.estimate.estimate import estimate_for
from edgekit.engine.store import Store
from edgekit.spec.target import load_target
from tests.build_folder.samples import sample_manifest, sample_report
from tests.devices.tiny import write_model
from tests.mutations import fuzz, json_texts, refusals

TARGET = load_target("x86-cpu")


class Folder(NamedTuple):
    """What a build left for a target, and its three files of JSON as they should be."""

    path: Path
    store: Store
    files: dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("build")
    path = root / "demo" / "rpi"
    (path / "onnxruntime").mkdir(parents=True)
    model = write_model(path / "onnxruntime" / "model.onnx")
    manifest = sample_manifest(model, "onnxruntime")
    whole = TargetManifest(
        recipe="demo", target="rpi", choice="onnxruntime", left_out={},
        artifacts={"onnxruntime": manifest},
    )  # fmt: skip
    report = sample_report()
    report.rows, report.left_out = report.rows[-1:], {}
    files = {
        "manifest.json": whole.model_dump(mode="json"),
        "onnxruntime/manifest.json": manifest.model_dump(mode="json"),
        "report.json": report.model_dump(mode="json"),
    }
    return Folder(path, Store(root / "store"), files)


@pytest.fixture(scope="module")
def read_here() -> Iterator[None]:
    """No process for each damaged input whose model is read in the end."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (make, estimate):
            patch.setattr(module, "describe_named", lambda runtime, file: (runtime.describe(file),))
        yield


@fuzz
@given(data=st.data())
def test_any_damage_of_what_a_build_left(
    folder: Folder, read_here: None, data: st.DataObject
) -> None:
    """As `inspect`, `bundle`, `deploy` and `estimate` read it."""
    damaged = data.draw(st.sampled_from([*folder.files]))
    for name, fields in folder.files.items():
        text = data.draw(json_texts(fields)) if name == damaged else json.dumps(fields)
        (folder.path / name).write_bytes(text.encode(errors="surrogatepass"))
    with refusals():
        estimate_for(folder.path, TARGET)
    with refusals():
        read_report(folder.path)
    for path in (folder.path, folder.path / "onnxruntime", folder.path / "onnxruntime/model.onnx"):
        with refusals():
            artifact_of(path, folder.store)
        with refusals(), bundle_of(path, folder.store, BundleOptions(threads=2)):
            pass
    build_around(folder.path / "out")


def test_what_was_not_damaged_is_taken(folder: Folder) -> None:
    for name, fields in folder.files.items():
        (folder.path / name).write_text(json.dumps(fields))
    assert estimate_for(folder.path, TARGET).runtime == "onnxruntime"
    assert build_around(folder.path / "out") == folder.path


@pytest.mark.parametrize("name", ["manifest.json", "report.json"])
def test_a_folder_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with refusals():
        estimate_for(tmp_path, TARGET)
    shutil.rmtree(tmp_path / name)
    (tmp_path / name).write_text("[" * 100_000)
    with refusals():
        estimate_for(tmp_path, TARGET)
