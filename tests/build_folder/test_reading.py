"""Manifests and reports are read by the classes that wrote them; other versions' are refused."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from edgekit.build_folder.manifest import Manifest, TargetManifest
from edgekit.build_folder.reading import published, read_manifest, read_report, with_store
from edgekit.engine.store import Store
from edgekit.errors import InputError
from tests.build_folder.samples import sample_manifest, sample_report

OLD_MANIFEST: dict[str, Any] = {
    "schema_version": 2,
    "file": "model.tflite",
    "files": {"model.tflite": {"sha256": "0" * 64, "bytes": 3}},
    "variant": "litert",
    "runtime": "litert",
    "precision": "int8",
    "islands": {"operators": ["divide"], "plain": None, "with_islands": None},
    "lineage": [{"id": "source", "key": "k", "digest": "d"}],
}
"""As the version wrote it that called float operators islands; shortened."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.tflite").write_bytes(b"abc")
    return tmp_path


def refused(error: InputError) -> None:
    assert "was written by another version of edgekit (schema 2; this one reads 3)" in str(error)
    assert "\n" not in str(error)
    assert "build it again" in str(error.hint)


def test_a_manifest_of_the_old_version_is_refused_in_one_line(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps(OLD_MANIFEST))
    with pytest.raises(InputError) as caught:
        published(folder)
    refused(caught.value)


def test_so_is_a_targets(folder: Path) -> None:
    whole = {"schema_version": 2, "recipe": "r", "target": "t", "choice": "litert"}
    whole |= {"left_out": {}, "artifacts": {"litert": OLD_MANIFEST}}
    (folder / "manifest.json").write_text(json.dumps(whole))
    with pytest.raises(InputError) as caught:
        read_manifest(folder)
    refused(caught.value)


def test_so_is_a_report(folder: Path) -> None:
    old = sample_report().model_dump(mode="json") | {"schema_version": 2}
    for row in old["rows"]:
        row["islands"] = row.pop("float_ops")
    (folder / "report.json").write_text(json.dumps(old))
    with pytest.raises(InputError) as caught:
        read_report(folder)
    refused(caught.value)


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    manifest = sample_manifest(folder / "model.tflite", "litert")
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    assert published(folder) == manifest
    whole = TargetManifest(
        recipe="r", target="t", choice=None, left_out={}, artifacts={"litert": manifest}
    )
    (folder / "manifest.json").write_text(whole.model_dump_json())
    assert read_manifest(folder) == whole
    report = sample_report()
    (folder / "report.json").write_text(report.model_dump_json())
    assert read_report(folder) == report


def test_a_network_that_was_not_pruned_has_no_widths(folder: Path) -> None:
    manifest = sample_manifest(folder / "model.tflite", "litert")
    assert manifest.model_dump(mode="json")["model"].keys() == {"arch", "parameters", "macs"}


def test_the_manifest_keeps_the_names_that_users_know() -> None:
    assert [*Manifest.model_fields] == [
        "schema_version", "file", "files", "beside", "variant", "runtime", "engine",
        "compiled_for", "precision", "quantization", "float_ops", "by_time", "audit", "input",
        "output", "preprocessing", "classes", "scores", "model", "data_fingerprint", "lineage",
        "libraries", "edgekit", "gates", "verdict",
    ]  # fmt: skip


def test_a_folder_without_either(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    assert read_report(tmp_path) is None


def test_names_with_spaces_are_quoted_in_the_command_that_builds_again(folder: Path) -> None:
    report = sample_report().model_copy(update={"recipe": "my recipe", "target": "my board"})
    (folder / "report.json").write_text(report.model_dump_json())
    hint = with_store(folder / "litert", Store(folder / "a store"))
    command = shlex.split(hint.split("`")[1])
    assert command[2:] == ["my recipe.yaml", "--target", "my board", "--store", f"{folder}/a store"]
