"""Whatever comes back from a device, it is a report, or refused with words and an exit code."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices.bench.bench import import_result
from edgekit.devices.bundle.bundle import SUMS
from edgekit.devices.bundle.pack import pack_bundle
from edgekit.devices.bundle.unpack import opened
from edgekit.errors import InputError
from edgekit.evidence import Validity
from edgekit.report.device import render_device_html, render_device_markdown
from tests.devices.results import result_of
from tests.devices.tiny import QUICK, tiny_bundle
from tests.mutations import SCREEN, damaged, fuzz, json_texts, refusals


class Carried(NamedTuple):
    """A bundle on a stick, its tar, and what run.sh left."""

    stick: Path
    tar: Path
    result: dict[str, Any]


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Carried:
    root = tmp_path_factory.mktemp("carried")
    protocol = QUICK.model_copy(update={"sustained_seconds": 10.0})
    bundle = tiny_bundle(root / "bundle", protocol=protocol, beside_float=True)
    pack_bundle(bundle, root / "stick")
    pack_bundle(bundle, root / "means.tar")
    return Carried(root / "stick", root / "means.tar", result_of(bundle))


def read(result: Path, bundle: Path | None = None) -> None:
    """As `edgekit import` does, its pages too."""
    with refusals():
        report = import_result(result, bundle, None)
        assert report.model_validate_json(report.model_dump_json()) == report
        render_device_html(report)
        render_device_markdown(report)


def test_the_result_as_it_was_written_is_believed(carried: Carried, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(carried.result))
    report = import_result(tmp_path / "result.json", carried.tar, None)
    assert report.validity is Validity.OK
    assert report.ratio
    assert report.sustained
    assert report.energy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda result: result["watched"].reverse(), "one after the other"),
        (lambda result: result["watching"].update(seconds=0.0), r"watching\.seconds"),
    ],
    ids=["time goes back", "watched for no time"],
)
def test_what_no_agent_writes_is_refused(
    carried: Carried, tmp_path: Path, change: Callable[[Any], None], said: str
) -> None:
    result = deepcopy(carried.result)
    change(result)
    (tmp_path / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match=said):
        import_result(tmp_path / "result.json", carried.tar, None)


def test_operations_below_none_are_refused(carried: Carried, tmp_path: Path) -> None:
    files = {p.name: p.read_bytes() for p in carried.stick.iterdir()}
    info = json.loads(files["bundle.json"])
    info["subject"]["macs"] = -1
    pack(tmp_path / "again.tar", {**files, "bundle.json": json.dumps(info).encode()})
    (tmp_path / "result.json").write_text(json.dumps(carried.result))
    with pytest.raises(InputError, match=r"subject\.macs"):
        import_result(tmp_path / "result.json", tmp_path / "again.tar", None)


def test_a_long_name_is_cut_in_what_is_said(carried: Carried, tmp_path: Path) -> None:
    files = {p.name: p.read_bytes() for p in carried.stick.iterdir()}
    job = json.loads(files["job.json"])
    job["models"][0]["id"] = "9" * 5000
    pack(tmp_path / "again.tar", {**files, "job.json": json.dumps(job).encode()})
    (tmp_path / "result.json").write_text(json.dumps(carried.result))
    with pytest.raises(InputError) as caught:
        import_result(tmp_path / "result.json", tmp_path / "again.tar", None)
    assert len(caught.value.message) < SCREEN


@fuzz
@given(data=st.data())
def test_any_damage_of_a_result(carried: Carried, data: st.DataObject) -> None:
    path = carried.stick / "result.json"
    text = data.draw(json_texts(carried.result))
    path.write_bytes(text.encode(errors="surrogatepass"))
    read(path)


@fuzz
@given(data=st.data())
def test_any_damage_of_a_tar(carried: Carried, data: st.DataObject) -> None:
    whole = carried.tar.read_bytes()
    path = carried.tar.with_name("damaged.tar")
    path.write_bytes(data.draw(damaged(whole)))
    with refusals(), opened(path) as bundle:
        bundle.reference()


def pack(path: Path, files: dict[str, bytes]) -> None:
    """A tar of a bundle whose sums are right."""
    sums = {n: hashlib.sha256(content).hexdigest() for n, content in files.items() if n != SUMS}
    text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    with tarfile.open(path, "w") as tar:
        for name, content in {**files, SUMS: text.encode()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


JSON_FILES = ["bundle.json", "job.json"]
ARRAYS = ["slice_scores.npy", "slice_labels.npy"]


@fuzz
@given(data=st.data())
def test_any_damage_of_a_bundle_whose_sums_were_made_again(
    carried: Carried, data: st.DataObject
) -> None:
    """As by somebody who changed it by hand, or by another tool."""
    files = {p.name: p.read_bytes() for p in carried.stick.iterdir() if p.name != "result.json"}
    name = data.draw(st.sampled_from(JSON_FILES + ARRAYS))
    if name in JSON_FILES:
        text = data.draw(json_texts(json.loads(files[name])))
        files[name] = text.encode(errors="surrogatepass")
    else:
        files[name] = data.draw(damaged(files[name]))
    path = carried.tar.with_name("again.tar")
    pack(path, files)
    result = path.with_name("result.json")
    result.write_text(json.dumps(carried.result))
    read(result, path)
