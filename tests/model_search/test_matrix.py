"""The matrix keeps going: every architecture is a line, every failure a cell with its reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.engine.store import Store
from edgekit.errors import ConfigError, InputError
from edgekit.model_search.matrix import load_matrix
from edgekit.model_search.matrix_run import publish_matrix, read_matrix_report, run_matrix
from edgekit.report.matrix import MatrixReport
from edgekit.report.render import render_matrix
from tests.conftest import write_images
from tests.mutations import fuzz, json_texts, refusals

SPEC = """\
data: {source: imagefolder, path: images, image_size: 32}
stages:
  - finetune: {epochs: 2, batch_size: 12, learning_rate: 3.0e-3}
  - quantize: {method: ptq, samples: 8, every_class: false, max_float_macs: 1.0}
targets: [board.yaml]
architectures:
  - {arch: test_efficientnet, family: tiny, epochs: 4}
  - test_vit3
"""
BOARD = "description: for tests\nruntimes: [onnxruntime]\ncpu: cortex-a76\nthreads: 4\n"


class Counting(Silent):
    """Notes which steps ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def started(self, step: Step) -> None:
        self.ran.append(step.id)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("matrix")
    write_images(root / "images", count=24)
    (root / "board.yaml").write_text(BOARD)
    (root / "small.yaml").write_text(SPEC.replace("board.yaml", str(root / "board.yaml")))
    return root


def run(
    world: Path, known: MatrixReport | None = None, name: str = "small.yaml"
) -> tuple[MatrixReport, list[str]]:
    seen = Counting()
    report = run_matrix(
        load_matrix(world / name),
        Store(world / "store"),
        seen,
        known,
        lambda report: publish_matrix(report, world / "out"),
    )
    return report, seen.ran


@pytest.fixture(scope="module")
def report(world: Path) -> MatrixReport:
    (world / "small.yaml").write_text(
        (world / "small.yaml").read_text().replace("test_vit3", "test_wit")
    )
    return run(world)[0]


def test_every_architecture_is_a_line_even_one_that_does_not_exist(report: MatrixReport) -> None:
    good, bad = report.lines
    assert (good.arch, good.epochs, good.reason) == ("test_efficientnet", 4, "")
    assert bad.arch == "test_wit"
    assert "no architecture 'test_wit'" in bad.reason
    assert bad.cells == []
    assert report.open == []


def test_a_line_has_float_and_int8_with_figures_and_their_intervals(report: MatrixReport) -> None:
    cells = report.lines[0].cells
    assert [(c.variant, c.precision) for c in cells] == [
        ("onnxruntime", "float32"),
        ("onnxruntime", "int8"),
    ]
    for cell in cells:
        assert cell.reason == ""
        assert cell.agreement is not None
        assert cell.agreement.low is not None
    int8 = cells[1]
    assert int8.latency is not None
    assert int8.latency.evidence == "host"
    assert int8.audit is not None
    assert int8.audit.quantized_macs is not None
    assert report.images["validation"] > 0


def test_a_second_run_keeps_finished_lines_and_tries_the_others_again(
    world: Path, report: MatrixReport
) -> None:
    known = read_matrix_report(world / "out/matrix.json")
    again, ran = run(world, known)
    assert ran == [], "the architecture that does not exist ends in its plan"
    assert again.lines[0] == report.lines[0]
    assert again.environment == report.environment


def test_the_pages_hold_every_line_and_every_reason(world: Path, report: MatrixReport) -> None:
    folder = world / "out"
    agreement = report.lines[0].cells[1].agreement
    assert agreement is not None
    assert [problem.kind for problem in report.problems] == ["few images"]
    for page in (folder / "matrix.md", folder / "matrix.html"):
        assert report.problems[0].words in page.read_text()
        text = page.read_text()
        assert "test_efficientnet" in text
        assert f"{agreement.value:.1f}" in text
        assert re.search("knows no architecture (&#39;|')test_wit", text)
    width = None
    for line in (folder / "matrix.md").read_text().splitlines():
        cells = line.count("|") if line.startswith("|") else None
        assert width is None or cells is None or cells == width, line
        width = cells
    assert json.loads((folder / "matrix.json").read_text())["schema_version"] == 2


def test_an_untrained_network_speaks_for_no_family(report: MatrixReport) -> None:
    learned = report.lines[0].model_copy(deep=True)
    float32, int8 = learned.cells
    assert float32.top1
    assert int8.agreement
    assert report.majority == 50
    float32.top1 = float32.top1.model_copy(update={"value": 100.0})
    int8.agreement = int8.agreement.model_copy(update={"value": 96.0})
    untrained = learned.model_copy(deep=True, update={"arch": "untrained"})
    untrained.cells[0].top1 = float32.top1.model_copy(update={"value": 50.0})
    untrained.cells[1].agreement = int8.agreement.model_copy(update={"value": 100.0})
    both = report.model_copy(update={"lines": [untrained, learned]})
    assert [both.is_trained(line) for line in both.lines] == [False, True]
    (reach,) = both.families()["tiny"]
    assert reach.kept
    assert reach.best
    assert reach.best[0] == "test_efficientnet"
    alone = report.model_copy(update={"lines": [untrained]})
    assert alone.families()["tiny"][0].best is None
    assert "*untrained*" in render_matrix(both, html=False)


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "matrix.json"
    assert read_matrix_report(path) is None
    path.write_text("{}")
    with pytest.raises(InputError, match="no matrix report"):
        read_matrix_report(path)


def test_an_architecture_named_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(SPEC + "  - test_vit3\n")
    with pytest.raises(ConfigError, match=r"line 6: architectures: .*named twice: test_vit3"):
        load_matrix(path)


def test_the_matrix_that_ships_names_the_families_people_choose_between() -> None:
    matrix = load_matrix(Path(__file__).parents[2] / "recipes/matrix/architectures.yaml")
    assert len(matrix.architectures) >= 24
    assert set(matrix.targets) == {"rpi", "intel-npu", "android"}
    names = {matrix.recipe(entry).name for entry in matrix.architectures}
    assert len(names) == len(matrix.architectures)


@fuzz
@given(data=st.data())
def test_any_damage_of_a_matrix_report(
    world: Path, report: MatrixReport, data: st.DataObject
) -> None:
    path = world / "damaged.json"
    text = data.draw(json_texts(report.model_dump(mode="json")))
    path.write_bytes(text.encode(errors="surrogatepass"))
    with refusals():
        assert read_matrix_report(path)
