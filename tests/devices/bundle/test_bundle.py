"""A bundle is the same bytes every time, holds all it needs, and tells when it was damaged."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.bundle.make import bundle_of
from edgekit.devices.bundle.options import BundleOptions
from edgekit.devices.bundle.pack import pack_bundle
from edgekit.devices.bundle.protocol import STRICT
from edgekit.devices.bundle.sums import read_sums
from edgekit.devices.bundle.unpack import opened
from edgekit.engine.store import Store
from edgekit.errors import InputError, IntegrityError
from tests.devices.tiny import tiny_bundle


def test_the_same_bundle_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (tiny_bundle(tmp_path / name / "bundle") for name in ("a", "b"))
    for path in second.files.values():
        os.utime(path, (1, 1))
    assert first.release() == second.release()
    assert tiny_bundle(tmp_path / "c" / "bundle", seed=1).release() != first.release()


def test_the_release_is_the_sha256_of_the_tar(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    pack_bundle(bundle, tmp_path / "means.tar")
    assert hashlib.sha256((tmp_path / "means.tar").read_bytes()).hexdigest() == bundle.release()
    with opened(tmp_path / "means.tar") as again:
        assert again.release() == bundle.release()
        assert again.info == bundle.info


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    model = bundle.folder / bundle.info.subject.file
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match=r"means\.onnx is damaged: sha256"):
        bundle.verify()
    model.unlink()
    with pytest.raises(IntegrityError, match="nothing found"):
        bundle.verify()


def test_a_tar_that_was_cut_off_is_no_bundle(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    pack_bundle(bundle, tmp_path / "means.tar")
    whole = (tmp_path / "means.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises((IntegrityError, InputError)), opened(tmp_path / "cut.tar"):
        pass


def test_another_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no bundle"):
        Bundle(tmp_path)


def test_a_tar_with_paths_that_lead_out_is_not_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(__file__, arcname="../outside.py")
    with pytest.raises(IntegrityError), opened(tmp_path / "evil.tar"):
        pass
    assert not (tmp_path.parent / "outside.py").exists()


def test_it_is_laid_out_over_an_older_one_and_nothing_else(tmp_path: Path) -> None:
    pack_bundle(tiny_bundle(tmp_path / "first"), tmp_path / "stick")
    newer = tiny_bundle(tmp_path / "second", seed=1)
    pack_bundle(newer, tmp_path / "stick")
    assert Bundle(tmp_path / "stick").id == newer.id
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="holds other files"):
        pack_bundle(newer, tmp_path / "other")
    assert (tmp_path / "other" / "letter.txt").read_text() == "dear"


def test_a_result_that_was_not_taken_home_is_kept(tmp_path: Path) -> None:
    pack_bundle(tiny_bundle(tmp_path / "first"), tmp_path / "stick")
    result = tmp_path / "stick" / "result.json"
    result.write_text("an hour of measuring")
    with pytest.raises(InputError, match=r"holds result\.json") as raised:
        pack_bundle(tiny_bundle(tmp_path / "second", seed=1), tmp_path / "stick")
    assert f"edgekit import {result}" in (raised.value.hint or "")
    assert result.read_text() == "an hour of measuring"
    Bundle(tmp_path / "stick").verify()


def test_nothing_is_written_beside_the_folder(tmp_path: Path) -> None:
    """Which may be where a drive is mounted; nor may the folder itself be replaced."""
    bundle = tiny_bundle(tmp_path / "bundle")
    mount = tmp_path / "media" / "stick"
    mount.mkdir(parents=True)
    inode, before = mount.stat().st_ino, mount.parent.stat().st_mtime_ns
    pack_bundle(bundle, mount)
    assert (mount.stat().st_ino, mount.parent.stat().st_mtime_ns) == (inode, before)
    assert {path.name for path in mount.iterdir()} == set(bundle.files)
    assert os.access(mount / "run.sh", os.X_OK)


def test_how_a_bundle_is_measured_is_not_asked_again(tmp_path: Path) -> None:
    bundle, store = tiny_bundle(tmp_path / "bundle"), Store(tmp_path / "store")
    with bundle_of(bundle.folder, store, BundleOptions()) as found:
        assert found.id == bundle.id
    for wanted in (BundleOptions(STRICT), BundleOptions(threads=2), BundleOptions(images=tmp_path)):
        with (
            pytest.raises(InputError, match="was fixed when it was made"),
            bundle_of(bundle.folder, store, wanted),
        ):
            pass


@pytest.mark.parametrize("out", ["board/for-pi", "board/onnxruntime/for-pi", "board/for-pi.tar"])
@pytest.mark.parametrize("page", ["manifest.json", "report.json"])
def test_no_bundle_is_laid_into_the_folder_of_a_build(tmp_path: Path, page: str, out: str) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    (tmp_path / "board/onnxruntime").mkdir(parents=True)
    fields = {"recipe": "tiny", "target": "board", "artifacts": {}, "rows": []}
    (tmp_path / "board" / page).write_text(json.dumps(fields))
    with pytest.raises(InputError, match="lies in the folder of a build") as caught:
        pack_bundle(bundle, tmp_path / out)
    assert f"--out bundles/{Path(out).name}" in str(caught.value.hint)
    assert not (tmp_path / out).exists()
    (tmp_path / "manifest.json").write_text('{"name": "of a web page"}')
    pack_bundle(bundle, tmp_path / Path(out).name)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(InputError, match="letter is a file"):
        pack_bundle(tiny_bundle(tmp_path / "bundle"), tmp_path / "letter")


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/b", "..", ".hidden", "-rf", ""])
def test_sums_of_files_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with (bundle.folder / "SHA256SUMS").open("a") as stream:
        stream.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(IntegrityError, match="names files elsewhere"):
        bundle.verify()
    with pytest.raises(IntegrityError, match="names files elsewhere"):
        _ = bundle.files


@pytest.mark.parametrize("name", ["..", "../files", ".hidden", "a/b", "a b", ""])
def test_a_bundle_whose_name_leads_elsewhere(tmp_path: Path, name: str) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    text = bundle.info.model_copy(update={"name": name}).model_dump_json()
    (bundle.folder / "bundle.json").write_text(text)
    with pytest.raises(InputError, match="is no bundle"):
        Bundle(bundle.folder)


@given(st.text())
def test_any_text_gives_plain_names(text: str) -> None:
    for name, digest in read_sums(text).items():
        assert Path(name).name == name
        assert len(digest) == 64


def run_sh(folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["sh", str(folder / "run.sh"), sys.executable]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_run_sh_measures_without_edgekit(tmp_path: Path) -> None:
    pack_bundle(tiny_bundle(tmp_path / "bundle"), tmp_path / "a stick")
    done = run_sh(tmp_path / "a stick")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "a stick" / "result.json").read_text())
    assert result["golden"]["max_abs_diff"] < 1e-6
    assert len(result["protocol"]["1"]) == 2
    stages = done.stderr.splitlines()
    assert "timed 0 of 1" in stages
    assert not [line for line in stages if line.startswith("{")]


def test_run_sh_refuses_a_damaged_bundle(tmp_path: Path) -> None:
    pack_bundle(tiny_bundle(tmp_path / "bundle"), tmp_path / "stick")
    (tmp_path / "stick" / "agent.py").write_text("print('something else')")
    done = run_sh(tmp_path / "stick")
    assert done.returncode == 4
    assert "a file is damaged" in done.stderr
    assert not (tmp_path / "stick" / "result.json").exists()


def test_run_sh_refuses_another_architecture_before_it_measures(tmp_path: Path) -> None:
    pack_bundle(tiny_bundle(tmp_path / "bundle", machine="sparc"), tmp_path / "stick")
    done = run_sh(tmp_path / "stick")
    assert done.returncode == 5
    assert f"runs as {platform.machine()}, and this bundle is for sparc" in done.stderr
    assert not (tmp_path / "stick" / "result.json").exists()


def test_run_sh_leaves_no_older_result_where_it_fails(tmp_path: Path) -> None:
    pack_bundle(tiny_bundle(tmp_path / "bundle"), tmp_path / "stick")
    (tmp_path / "stick" / "result.json").write_text("of an hour ago")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntest "$1" = -c && exec {sys.executable} "$@"\nexit 1\n')
    python.chmod(0o755)
    words = ["sh", str(tmp_path / "stick" / "run.sh"), str(python)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert "there is no result" in done.stderr
    assert not (tmp_path / "stick" / "result.json").exists()
