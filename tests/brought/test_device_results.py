"""What comes back from devices: results on a stick, tars cut short, tools of other versions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.devices.bench.benchmark_parser import parse
from edgekit.devices.bundle.bundle import Bundle
from edgekit.devices.bundle.pack import pack_bundle
from edgekit.errors import DeviceError, EdgekitError
from tests.brought import brought
from tests.devices.bench import benchmark_logs as logs
from tests.devices.results import result_of
from tests.devices.tiny import tiny_bundle

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def stick(tmp_path: Path) -> Bundle:
    """A bundle, and the result of its run beside it."""
    bundle = tiny_bundle(tmp_path / "bundle")
    pack_bundle(bundle, tmp_path / "stick")
    result = result_of(bundle)
    del result["latency"], result["sustained"]  # of a run that asked for neither
    (tmp_path / "stick" / "result.json").write_text(json.dumps(result))
    return Bundle(tmp_path / "stick")


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))


class Said(NamedTuple):
    """What `edgekit import` came to, and all it said."""

    code: int
    text: str


def imported(stick: Bundle, *words: str) -> Said:
    result, out = str(stick.folder / "result.json"), str(stick.folder.parent / "report")
    done = CliRunner().invoke(cli, ["import", result, "--out", out, *words])
    if isinstance(done.exception, EdgekitError):
        return Said(done.exception.exit_code, f"{done.exception}\nhint: {done.exception.hint}")
    return Said(done.exit_code, done.output)


def changed(stick: Bundle, change: Change) -> Said:
    """What `edgekit import` says once something in the result is another."""
    path = stick.folder / "result.json"
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result))
    return imported(stick)


def refused(said: Said, code: int, *words: str) -> None:
    assert said.code == code, said.text
    assert len(said.text.splitlines()) == 2
    for word in words:
        assert word in said.text


@brought("Results from devices", "The result.json of a whole run, on a stick", "read")
def test_a_whole_result(stick: Bundle) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", "import", str(stick.folder / "result.json")],
        cwd=stick.folder.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "raspberry-pi-5" in done.stdout
    assert "median 10.01 ms at 1 threads" in done.stdout
    reports = stick.folder.parent / "build" / "devices" / "raspberry-pi-5"
    assert len(list(reports.glob("*/device-report.html"))) == 1


@brought(
    "Results from devices",
    "A result whose processes have no samples, or of which a part is missing",
    "refused: the field, and that `sh run.sh` makes it again",
)
@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r["protocol"]["1"][0].update(samples=[]), "protocol.1.0.samples: List should"),
        (lambda r: r["protocol"].clear(), "protocol.1: 2 processes at 1 threads expected, not 0"),
        (lambda r: r.update(scores={}), "scores.model: this field is missing"),
        (lambda r: r.pop("golden"), "golden: this field is missing"),
        (lambda r: r["board"].pop("kernel"), "board.kernel: this field is missing"),
        (lambda r: r["environment"].update(versions=[]), "environment.versions: Input should be"),
    ],
)
def test_a_part_is_missing(stick: Bundle, change: Change, field: str) -> None:
    path = stick.folder / "result.json"
    refused(changed(stick, change), 2, f"{path} is no result of run.sh: {field}", "sh run.sh")


@brought(
    "Results from devices",
    "A result with times below zero, or rounds of different lengths",
    "refused: the field and its value",
)
@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r["protocol"]["1"][1]["samples"].__setitem__(3, -0.01), "1.1.samples.3: "),
        (lambda r: r["before"].update(at=-3), "before.at: Input should be greater"),
        (
            lambda r: r.update(
                latency={"model": {"load": 1, "first": 1, "rounds": [[0.1, 0.1], [0.1]]}}
            ),
            "latency.model.rounds: rounds of equal length expected",
        ),
        (lambda r: r["golden"].update(same_top1=9), "same_top1 is 9 of 8 images"),
    ],
)
def test_numbers_that_cannot_be(stick: Bundle, change: Change, field: str) -> None:
    refused(changed(stick, change), 2, "result.json", field)


@brought(
    "Results from devices",
    "A result.json that was cut off as it was copied",
    "refused: no JSON, with the line and the column",
)
def test_a_result_that_was_cut_off(stick: Bundle) -> None:
    path = stick.folder / "result.json"
    path.write_bytes(path.read_bytes()[:-200])
    refused(imported(stick), 2, "no JSON: EOF while parsing", "sh run.sh")


@brought(
    "Results from devices",
    "A result of a runtime that computes NaN",
    "refused as no result: exit code 5",
)
def test_scores_that_are_nan(stick: Bundle) -> None:
    done = changed(stick, lambda r: r["golden"].update(max_abs_diff=float("nan")))
    refused(done, 5, "golden.max_abs_diff: Input should be a finite number", "device setup")


@brought(
    "Results from devices",
    "The tar of a bundle that was cut off, or is none",
    "refused: exit code 4, and what to copy again",
)
@pytest.mark.parametrize("keep", [0.5, 0.01])
def test_a_tar_that_was_cut_off(stick: Bundle, keep: float) -> None:
    path = stick.folder.parent / "means.tar"
    pack_bundle(stick, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    refused(imported(stick, "--bundle", str(path)), 4, "means.tar", "copy it again")


@brought(
    "Results from devices",
    "A bundle whose SHA256SUMS is missing or empty",
    "refused: nothing in it can be trusted",
)
@pytest.mark.parametrize(
    ("text", "code", "words"), [(None, 2, "SHA256SUMS cannot be read"), ("", 4, "does not list")]
)
def test_sums_that_are_missing(stick: Bundle, text: str | None, code: int, words: str) -> None:
    path = stick.folder / "SHA256SUMS"
    path.unlink() if text is None else path.write_text(text)
    refused(imported(stick), code, words, "copy it again")


@brought(
    "Results from devices",
    "The folder of a bundle where its result.json was meant",
    "refused: the file to name",
)
def test_a_folder(stick: Bundle) -> None:
    done = CliRunner().invoke(cli, ["import", str(stick.folder)])
    assert isinstance(done.exception, EdgekitError)
    assert done.exception.exit_code == 2
    assert done.exception.hint == f"name the result in it: {stick.folder / 'result.json'}"


@brought(
    "Results from devices",
    "benchmark_model of a later version, with words that are not known yet",
    "read: the words that are known",
)
def test_a_later_benchmark_model() -> None:
    later = logs.CLASSIC_PARTLY_GPU.replace(" p95=", " p90=312000 energy_uj=7 p95=")
    assert parse(later, "phone") == parse(logs.CLASSIC_PARTLY_GPU, "phone")
    assert parse(later, "phone").latency.p95 == 313707


@brought(
    "Results from devices",
    "benchmark_model output whose numbers contradict each other",
    "refused as no result: exit code 5",
)
def test_a_benchmark_model_that_contradicts_itself() -> None:
    wrong = logs.CLASSIC_PARTLY_GPU.replace("median=305582", "median=5582")
    with pytest.raises(DeviceError, match="299074 to 324703 us, and median is 5582 us") as caught:
        parse(wrong, "phone")
    assert caught.value.exit_code == 5
