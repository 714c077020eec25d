"""Reports and manifests that were changed by hand are refused, or compared as far as they go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.comparison.compare import compare
from edgekit.comparison.locate import locate
from edgekit.report.render import render_compare
from tests.comparison.samples import device_report, write_build
from tests.devices.tiny import tiny_bundle
from tests.mutations import fuzz, json_texts, refusals


class Pair(NamedTuple):
    whole: Path
    damaged: Path
    files: dict[str, Any]
    """Of the damaged one, by name, as they should be."""


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    root = tmp_path_factory.mktemp("damaged")
    damaged = write_build(root / "b/rpi")
    names = ("manifest.json", "onnxruntime/manifest.json", "report.json")
    files = {name: json.loads((damaged / name).read_text()) for name in names}
    return Pair(write_build(root / "a/rpi"), damaged, files)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    root = tmp_path_factory.mktemp("runs")
    report = device_report(tiny_bundle(root / "bundle"))
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "device-report.json").write_text(report.model_dump_json())
    files = {"device-report.json": report.model_dump(mode="json")}
    return Pair(root / "a", root / "b", files)


@fuzz
@given(data=st.data())
def test_any_damage_of_a_build(builds: Pair, data: st.DataObject) -> None:
    damage_and_compare(builds, data)


@fuzz
@given(data=st.data())
def test_any_damage_of_a_device_report(runs: Pair, data: st.DataObject) -> None:
    damage_and_compare(runs, data)


def damage_and_compare(pair: Pair, data: st.DataObject) -> None:
    damaged = data.draw(st.sampled_from([*pair.files]))
    for name, fields in pair.files.items():
        text = data.draw(json_texts(fields)) if name == damaged else json.dumps(fields)
        (pair.damaged / name).write_bytes(text.encode(errors="surrogatepass"))
    with refusals():
        groups = locate((pair.whole, pair.damaged), every_variant=False)
        render_compare(compare(groups, False, lambda *_: None))
