"""`edgekit compare`, as a person and as a script types it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgekit.evaluation.chance import ChanceTest
from edgekit.report.device import write_device_report
from tests.build_folder.samples import sample_report
from tests.commands import edgekit
from tests.comparison.samples import IMAGES, device_report, write_build
from tests.devices.tiny import tiny_bundle

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]


def compare(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    done = edgekit("compare", *words, cwd=folder, store=folder / "store")
    assert "Traceback" not in done.stderr
    return done


def untimed(folder: Path, *words: object) -> Any:
    done = compare(folder, *words, "--no-timing", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """good, worse (of 20 % of the images), litert and other (of half the images) for a board."""
    root = tmp_path_factory.mktemp("builds")
    names = ("onnxruntime", "onnxruntime-float16")
    write_build(root / "good/rpi", variants=names)
    write_build(root / "worse/rpi", wrong=range(8), manifest={"precision": "float16"})
    write_build(root / "litert/rpi", variants=("litert",))
    write_build(root / "other/rpi", images=range(IMAGES // 2), wrong=range(9))
    return root


def test_a_build_that_is_worse(builds: Path) -> None:
    found = untimed(builds, "good/rpi", "worse/rpi/onnxruntime/model.onnx")
    (pair,) = found["pairs"]
    accuracy = pair["accuracy"]
    assert (accuracy["verdict"], accuracy["change"]["lost"]) == ("worse", 8)
    first = accuracy["flipped"][0]
    assert (first["name"], first["label"], first["turn"]) == ("0.png", "a", "lost")
    assert first["answers"] == [
        {"name": "a", "probability": 0.9}, {"name": "b", "probability": 0.9},
    ]  # fmt: skip
    assert {"what": "precision", "values": ["int8", "float16"]} in pair["settings"]
    assert (pair["latency"], pair["same_file"]) == ([], True)


def test_what_fails_for_it(builds: Path) -> None:
    words = ("good/rpi", "worse/rpi", "--no-timing")
    done = compare(builds, *words, "--fail-if", "worse")
    assert done.returncode == 3
    assert "B against A: accuracy is worse: 20.0 points lower (6.3 to 31.8, host)" in done.stderr
    assert compare(builds, *words, "--fail-if", "worse-accuracy").returncode == 3
    assert compare(builds, *words[1::-1], "--no-timing", "--fail-if", "worse").returncode == 0


def test_other_images_fail_nothing_and_it_is_said(builds: Path) -> None:
    done = compare(builds, "good/rpi", "other/rpi", "--no-timing", "--fail-if", "worse-accuracy")
    assert done.returncode == 0
    assert "no verdict on accuracy of B against A: they were judged by different" in done.stderr
    assert "20 the same, 20 of the first alone" in done.stdout.replace("\n", " ")
    assert "cannot tell" in done.stdout


def test_it_is_timed_anew_where_the_files_are_here(tmp_path: Path) -> None:
    write_build(tmp_path / "a/rpi")
    model = write_build(tmp_path / "b/rpi") / "onnxruntime/model.onnx"
    model.write_bytes(model.read_bytes() + b"\x72\x00")  # an empty field: another file
    resealed(model)
    done = compare(tmp_path, "a/rpi", "b/rpi", "--json")
    assert done.returncode == 0, done.stderr
    (latency,) = json.loads(done.stdout)["pairs"][0]["latency"]
    assert latency["evidence"] == "host"
    assert latency["ratio"]["unit"] == "ratio"
    assert latency["medians"] == [None, None]


def resealed(model: Path) -> None:
    """A manifest that knows the model as it is."""
    from edgekit.engine.artifact import sha256_of

    path = model.parent / "manifest.json"
    fields = json.loads(path.read_text())
    fields["files"]["model.onnx"] = {"sha256": sha256_of(model), "bytes": model.stat().st_size}
    path.write_text(json.dumps(fields))


def test_the_variants_of_one_build_and_of_two(builds: Path) -> None:
    found = untimed(builds, "good/rpi", "--all")
    assert [p["second"]["path"] for p in found["pairs"]] == ["good/rpi/onnxruntime-float16"]
    found = untimed(builds, "good/rpi", "worse/rpi", "--all")
    assert [(p["first"]["letter"], p["second"]["letter"]) for p in found["pairs"]] == [("A", "C")]
    assert found["unpaired"] == ["good/rpi/onnxruntime-float16"]


def test_what_is_untrained_is_said_once(tmp_path: Path) -> None:
    top1 = sample_report().rows[0].validation.top1
    chance = ChanceTest(top1=top1, commonest=88.0, p_value=0.6)
    for name in ("a/rpi", "b/rpi"):
        path = write_build(tmp_path / name) / "report.json"
        fields = json.loads(path.read_text()) | {"status": "untrained"}
        path.write_text(json.dumps(fields | {"chance": chance.model_dump(mode="json")}))
    done = compare(tmp_path, "a/rpi", "b/rpi", "--no-timing")
    assert done.stdout.count("untrained: the float model's top-1") == 1
    assert "A, B: untrained" in done.stdout


def test_three_at_once(builds: Path) -> None:
    found = untimed(builds, "good/rpi", "worse/rpi", "other/rpi")
    assert [p["second"]["letter"] for p in found["pairs"]] == ["B", "C"]


def test_the_page_shows_what_flips(builds: Path, tmp_path: Path) -> None:
    page = tmp_path / "new/page.html"
    done = compare(builds, "good/rpi", "worse/rpi", "--no-timing", "--html", page)
    assert f"Page: {page}" in done.stdout
    text = page.read_text()
    assert "7.png" in text
    assert "Images that flip (8 of 40)" in text


def test_a_report_of_a_device(builds: Path, tmp_path: Path) -> None:
    report = device_report(tiny_bundle(tmp_path / "bundle"))
    for name in ("pi5", "again"):
        write_device_report(report, tmp_path / name)
    found = untimed(tmp_path, "pi5", "again/device-report.json")
    (latency,) = found["pairs"][0]["latency"]
    assert (latency["where"], latency["evidence"]) == ("pi5", "measured")
    accuracy = found["pairs"][0]["accuracy"]
    assert (accuracy["images"], accuracy["change"]["drop"]["evidence"]) == (128, "measured")
    write_build(tmp_path / "b/rpi", manifest={"classes": ("red", "green", "blue")})
    found = untimed(tmp_path, "b/rpi", "pi5")
    assert "they are not paired" in found["pairs"][0]["accuracy"]["reason"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("good/rpi",), "good/rpi alone is named"),
        (("good/rpi", "good/rpi/onnxruntime"), "good/rpi/onnxruntime is named twice"),
        (("good/rpi", "nowhere"), "nowhere: no such file or folder"),
        (("good/rpi", "good"), "name one of its folders: good/rpi"),
        (("good/rpi", "."), ". is no build, and no variant of one"),
        (("good/rpi", "good/rpi/report.json"), "report.json is no model of a build"),
        (("good/rpi", "worse/rpi", "--no-timing", "--html", "good"), "good"),
        (("good/rpi", "litert/rpi", "--all"),
         "good/rpi/onnxruntime, good/rpi/onnxruntime-float16; litert/rpi/litert"),
        (("litert/rpi", "--all"), "nothing to compare: two things expected"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(builds: Path, words: tuple[str, ...], message: str) -> None:
    done = compare(builds, *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_other_classes_are_refused_with_a_command_that_works(builds: Path, tmp_path: Path) -> None:
    for name, classes in (("a", ("a", "b")), ("my b", ("a", "c"))):
        folder = write_build(tmp_path / name / "rpi", manifest={"classes": classes})
        (folder / "onnxruntime/labels.txt").write_text("".join(f"{c}\n" for c in classes))
    done = compare(tmp_path, "a/rpi", "my b/rpi")
    assert done.returncode == 2
    assert "A alone has 'b'; B alone has 'c'" in done.stderr
    command = done.stderr.split("all of both: ")[1].strip()
    differ = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert "> c" in differ.stdout, differ


def test_a_variant_without_its_report(builds: Path, tmp_path: Path) -> None:
    shutil.copytree(builds / "good/rpi/onnxruntime", tmp_path / "x/onnxruntime")
    done = compare(builds, "good/rpi", tmp_path / "x/onnxruntime")
    assert done.returncode == 2
    assert "report.json is not there" in done.stderr


def test_a_report_of_a_later_build_that_broke_off(builds: Path, tmp_path: Path) -> None:
    shutil.copytree(builds / "good/rpi", tmp_path / "rpi")
    fields = json.loads((tmp_path / "rpi/report.json").read_text())
    for row in fields["rows"]:
        row["artifact"] = "e" * 64
    (tmp_path / "rpi/report.json").write_text(json.dumps(fields))
    done = compare(builds, "good/rpi", tmp_path / "rpi")
    assert done.returncode == 2
    assert "is of another build than" in done.stderr


def test_a_report_of_an_older_edgekit_gives_no_verdict(builds: Path, tmp_path: Path) -> None:
    write_build(tmp_path / "rpi", answers=False)
    (pair,) = untimed(builds, "good/rpi", tmp_path / "rpi")["pairs"]
    assert pair["accuracy"]["change"] is None
    assert "build it again, unchanged" in pair["accuracy"]["reason"]
