"""A report that was changed by hand is refused as it is read, or can be shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from edgekit.cli.reporting import _read
from edgekit.evaluation.operator_table import ShippedOperators
from edgekit.report.pages import read_beside
from edgekit.report.render import render_html, render_markdown
from edgekit.report.table import render_csv
from tests.evaluation.operator_tables import sample_table
from tests.mutations import fuzz, json_texts, refusals
from tests.report.answers import answered

OPERATORS = ShippedOperators(tables={"litert": sample_table()}, missing={"openvino": "busy"})
WHOLE = answered([0, 0, 1], [0, 0, 1], [0, 1, 1]).model_copy(update={"operators": OPERATORS})
GOOD = json.loads(WHOLE.model_dump_json())
GOOD["rows"] = GOOD["rows"][:3]
for row in GOOD["rows"]:
    row["validation"]["latency"]["times_ms"] = "1.01 1.02 1.3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


@fuzz
@given(text=json_texts(GOOD))
def test_any_damage_of_a_report(folder: Path, text: str) -> None:
    (folder / "report.json").write_bytes(text.encode(errors="surrogatepass"))
    with refusals():
        place, report = _read(folder)
        render_html(report, read_beside(place, report))
        render_markdown(report)
        render_csv(report)
