"""`edgekit history`, as a person and as a script types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgekit.devices.bundle.pack import pack_bundle
from edgekit.history.recording import record_builds
from edgekit.printable import printable
from tests.commands import edgekit
from tests.devices.results import result_of
from tests.devices.tiny import tiny_bundle
from tests.history.samples import COMMIT, disturbed, git, report_of

STORE = "store"


def history(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    done = edgekit("history", *words, cwd=folder, store=folder / STORE)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a history of three builds: the second is worse, the third was disturbed."""
    for name, wrong in (("a", ()), ("b", range(8)), ("c", ())):
        report = report_of(tmp_path / name / "photos/rpi", wrong)
        report = disturbed(report) if name == "c" else report
        commit = COMMIT.model_copy(update={"dirty": name == "b"})
        assert record_builds(tmp_path / STORE, [(report, tmp_path / name)], commit) == ""
    return tmp_path


def test_a_person_reads_the_trend(folder: Path) -> None:
    done = history(folder, "photos")
    assert done.returncode == 0, done.stderr
    first, second, third = (
        next(line for line in done.stdout.splitlines() if line.startswith(f"│ {i} "))
        for i in (1, 2, 3)
    )
    assert "012345678 dirty" in second
    assert "dirty" not in first + third
    assert "20.0 (6.3 to 31.8) │ worse" in second
    assert "better" in third
    assert "0.57 (0.56 to 0.58) host" in second
    assert "— (machine too busy) host" in third


def test_a_script_reads_the_same(folder: Path) -> None:
    found = json.loads(history(folder, "--json", "--limit", 2).stdout)
    (trend,) = found["trends"]
    assert (trend["recipe"], trend["target"], trend["older"]) == ("photos", "rpi", 1)
    assert [row["before"]["verdict"] for row in trend["rows"]] == ["worse", "better"]
    ratio = trend["rows"][1]["entry"]["latency_ratio"]
    assert (ratio["valid"], ratio["reason"], "value" in ratio) == (False, "machine too busy", False)


def test_a_recipe_is_known_by_its_file(folder: Path) -> None:
    (folder / "photos.yaml").write_text("stages: []")
    (folder / "other.yaml").write_text("name: photos")
    for file in ("photos.yaml", "other.yaml"):
        assert history(folder, file).returncode == 0
    (folder / "list.yaml").write_text("- 1")
    assert history(folder, "list.yaml").returncode == 2


@pytest.mark.parametrize("words", [("photo",), ("photos", "--target", "rpi5")])
def test_what_is_not_there_is_told_with_what_is(folder: Path, words: tuple[str, ...]) -> None:
    done = history(folder, *words)
    assert done.returncode == 2
    assert "it has photos for rpi" in done.stderr


def test_an_empty_history_is_no_error(tmp_path: Path) -> None:
    done = history(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing is recorded yet" in done.stdout
    assert json.loads(history(tmp_path, "--json").stdout)["trends"] == []
    assert not (tmp_path / STORE).exists()


def test_names_steer_no_terminal(tmp_path: Path) -> None:
    report = report_of(tmp_path / "photos/rpi")
    report = report.model_copy(update={"broken": ["\x1b[31mred"]})
    record_builds(tmp_path / STORE, [(report, tmp_path)], None)
    told = history(tmp_path).stdout
    assert "\x1b" not in told
    assert printable("\x1b[31mred") in told


def imported(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return edgekit("import", "stick/result.json", *words, cwd=folder, store=folder / STORE)


def test_what_is_imported_is_recorded(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", beside_float=True)
    pack_bundle(bundle, tmp_path / "stick")
    result: dict[str, Any] = result_of(bundle)
    del result["sustained"]
    (tmp_path / "stick/result.json").write_text(json.dumps(result))
    assert imported(tmp_path, "--device", "pi5").returncode == 0
    (trend,) = json.loads(history(tmp_path, "--json").stdout)["trends"]
    assert (trend["kind"], trend["device"]) == ("device report", "pi5")
    entry = trend["rows"][0]["entry"]
    assert Path(entry["report"]).is_file()
    assert entry["latency_ratio"]["evidence"] == "measured"
    assert entry["median"]["value"] == pytest.approx(10.0095)
    told = history(tmp_path).stdout
    assert "median ms" in told
    assert "10.01" in told


def test_a_history_that_cannot_be_written_costs_no_report(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    pack_bundle(bundle, tmp_path / "stick")
    result: dict[str, Any] = result_of(bundle)
    del result["latency"], result["sustained"]
    (tmp_path / "stick/result.json").write_text(json.dumps(result))
    (tmp_path / STORE).write_text("a file where the store should be")
    done = imported(tmp_path, "--out", "report")
    assert done.returncode == 0
    assert (tmp_path / "report/device-report.json").is_file()
    _, told = done.stderr.splitlines()  # the first says what a result from a file proves
    assert told.startswith("this run is not in the history: ")


RECIPE = """\
model: {arch: test_efficientnet, weights: scratch}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1, batch_size: 8}}, export]
allow_untrained: true
"""
TARGET = "{description: a board for tests, runtimes: [onnxruntime], cpu: cortex-a76, threads: 4}"


def test_a_build_is_recorded_and_is_as_good_where_it_cannot_be(images_folder: Path) -> None:
    pytest.importorskip("torch")
    folder = images_folder.parent
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "board.yaml").write_text(TARGET)
    git(folder, "init", "-q")
    git(folder, "add", "recipe.yaml")
    git(folder, "commit", "-q", "-m", "a recipe")
    words = ("build", "recipe.yaml", "--target", "board.yaml")
    assert edgekit(*words, cwd=folder, store=folder / STORE).returncode == 0
    (trend,) = json.loads(history(folder, "recipe.yaml", "--json").stdout)["trends"]
    (row,) = trend["rows"]
    assert row["entry"]["commit"] == {"sha": git(folder, "rev-parse", "HEAD"), "dirty": False}
    assert row["entry"]["target"] == "board"
    report = folder / "build/recipe/board/report.json"
    assert row["entry"]["report"] == str(report)

    report.unlink()
    (folder / STORE / "history.sqlite").unlink()
    (folder / STORE / "history.sqlite").mkdir()
    done = edgekit(*words, cwd=folder, store=folder / STORE)
    assert done.returncode == 0
    assert report.is_file()
    told = [line for line in done.stderr.splitlines() if "history" in line]
    assert len(told) == 1
    assert told[0].startswith("this build is not in the history: ")


def test_it_goes_to_mlflow(folder: Path) -> None:
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    assert "3 rows of the history went to sqlite" in history(folder, "--to-mlflow", uri).stdout
    again = history(folder, "--to-mlflow", uri)
    assert (again.returncode, again.stderr) == (0, "")
    assert "0 rows of the history went" in again.stdout
    assert "3 were there already" in again.stdout
    told = history(folder, "--to-mlflow", uri, "--json").stdout
    assert json.loads(told) == {"sent": 0, "known": 3}


def test_it_goes_to_mlflow_and_fails_in_a_line(folder: Path) -> None:
    pytest.importorskip("mlflow")
    done = history(folder, "--to-mlflow", "wat://x")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --to-mlflow wat://x: ")
