"""`edgekit report`: a build's folder is enough to render it again."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from edgekit.report.render import render_html, render_markdown
from edgekit.report.table import render_csv
from edgekit.report.thumbnails import THUMBNAILS, Thumbnails, entry_of, thumbnail
from tests.build_folder.samples import disturbed_report, sample_report
from tests.commands import edgekit
from tests.report.answers import answered, digest_of
from tests.report.test_thumbnails import PIXELS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build of three images, of which one flips and has a picture."""
    place = tmp_path / "build/demo/rpi"
    place.mkdir(parents=True)
    pictures = Thumbnails(pictures={digest_of(1): thumbnail(PIXELS[1])}).model_dump_json()
    (place / THUMBNAILS).write_text(pictures)
    report = answered([0, 0, 1], [0, 0, 1], [0, 1, 1])
    report.thumbnails = entry_of(pictures)
    (place / "report.json").write_text(report.model_dump_json())
    return place


def test_the_page_is_written_into_the_folder(folder: Path) -> None:
    done = edgekit("report", "build/demo/rpi", cwd=folder.parents[2], store=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Report: build/demo/rpi/report.html\n"
    assert "data:image/jpeg;base64," in (folder / "report.html").read_text()


def test_pictures_can_be_left_out_of_a_page(folder: Path) -> None:
    words = ("report", ".", "--no-thumbnails", "--out", "to/send.html")
    assert edgekit(*words, cwd=folder, store=folder).returncode == 0
    page = (folder / "to/send.html").read_text()
    assert "base64" not in page
    assert "1.png" in page


def test_markdown_json_and_csv(folder: Path) -> None:
    def run(kind: str) -> str:
        done = edgekit("report", folder, "--format", kind, cwd=folder, store=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("md")
    assert "**litert int8: 3.7 times smaller" in (folder / "report.md").read_text()
    assert json.loads(run("json"))["recipe"] == "demo"
    rows = list(csv.DictReader(io.StringIO(run("csv"))))
    assert [row["stage"] for row in rows[:3]] == ["source", "quantize", "export"]
    assert (rows[2]["latency_ratio"], rows[2]["latency_ratio_evidence"]) == ("0.57", "host")
    assert rows[2]["chosen"] == "true"


def test_a_figure_that_is_not_valid_is_an_empty_cell_with_the_reason() -> None:
    last = list(csv.DictReader(io.StringIO(render_csv(disturbed_report()))))[-1]
    assert (last["latency_ratio"], last["latency_invalid"]) == ("", "machine too busy")


def test_no_cell_is_a_formula() -> None:
    report = sample_report()
    for row in report.rows:
        row.variant = '=HYPERLINK("http://x")\n\x1b'
    first = next(csv.DictReader(io.StringIO(render_csv(report))))
    assert first["variant"] == '\'=HYPERLINK("http://x")\\n\\x1b'


def test_what_is_no_build_is_refused_with_what_to_name(folder: Path) -> None:
    done = edgekit("report", folder.parent, cwd=folder, store=folder)
    assert done.returncode == 2
    assert f"name one of its folders: {folder}" in done.stderr
    (folder / "report.json").write_text("{}")
    assert edgekit("report", folder, cwd=folder, store=folder).returncode == 2


def test_what_is_published_is_what_is_rendered_again(folder: Path) -> None:
    report = sample_report()
    (folder / "report.json").write_text(report.model_dump_json(indent=1))
    for kind in ("html", "md"):
        edgekit("report", folder, "--format", kind, cwd=folder, store=folder)
    assert (folder / "report.html").read_text() == render_html(report)
    assert (folder / "report.md").read_text() == render_markdown(report)
