"""Bundle, deploy, roll back, measure and import, as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edgekit.cli import main
from tests import commands
from tests.devices.tiny import write_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are typed: a model of one's own, and three devices."""
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("EDGEKIT_DEVICES", str(tmp_path / "devices.yaml"))
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "means.onnx")
    write_model(tmp_path / "my means.onnx")
    entry = {"transport": "local", "python": sys.executable}
    devices = {name: {**entry, "home": str(tmp_path / name)} for name in ("a", "b")}
    broken = {"transport": "local", "python": "/no/python", "home": str(tmp_path / "c")}
    (tmp_path / "devices.yaml").write_text(yaml.safe_dump({**devices, "c": broken}))
    return tmp_path


def edgekit(*words: str) -> subprocess.CompletedProcess[str]:
    return commands.edgekit(*words, cwd=Path.cwd(), store=Path("store"))


def test_deploy_to_two_and_back(folder: Path) -> None:
    done = edgekit("deploy", "means.onnx", "--device", "a", "--device", "b")
    assert done.returncode == 0, done.stderr
    assert "a: deployed" in done.stdout
    assert "b: deployed" in done.stdout
    again = edgekit("deploy", "means.onnx", "--device", "a", "--json")
    assert json.loads(again.stdout)[0]["state"] == "unchanged"
    back = edgekit("rollback", "means", "--device", "a")
    assert back.returncode == 5
    assert "no release before the one in use" in back.stderr


def test_a_bundle_of_random_inputs_says_so(folder: Path) -> None:
    done = edgekit("bundle", "means.onnx", "--out", "b")
    assert "means.onnx, 16 random inputs, seed 0, release" in done.stdout
    assert (
        "For any processor with Python, numpy and onnxruntime, which are not in it" in done.stdout
    )
    assert "no accuracy is measured on the device" in done.stderr
    assert "--labels with class names and --images with a folder for each label them" in done.stderr


def test_a_bundle_that_is_there_is_not_overwritten(folder: Path) -> None:
    for out in ("there", "there.tar"):
        assert edgekit("bundle", "means.onnx", "--out", out).returncode == 0
        done = edgekit("bundle", "means.onnx", "--out", out)
        assert done.returncode == 2
        assert f"{out} is there already" in done.stderr
        assert edgekit("bundle", "means.onnx", "--out", out, "--force").returncode == 0


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("bundle means.onnx", "e.g. --out bundles/model for a folder"),
        ("deploy means.onnx", "edgekit device list has them"),
        ("build means.onnx", "e.g. --target rpi5"),
    ],
)
def test_an_option_that_is_missing_has_an_example(
    words: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["edgekit", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert hint in capsys.readouterr().err


def test_one_that_fails_makes_the_command_fail(folder: Path) -> None:
    done = edgekit("deploy", "means.onnx", "--device", "a", "--device", "c", "--json")
    assert done.returncode == 5
    outcomes = {row["device"]: row for row in json.loads(done.stdout)}
    assert outcomes["a"]["state"] == "deployed"
    assert outcomes["c"]["fault"] == "missing runtime"
    assert "edgekit device setup c" in done.stderr
    assert "Traceback" not in done.stderr


def test_deploy_takes_no_options_of_measuring(folder: Path) -> None:
    """They would make another release of the same model."""
    done = edgekit("deploy", "means.onnx", "--device", "a", "--strict")
    assert done.returncode == 2
    assert "No such option" in done.stderr


def test_by_stick(folder: Path) -> None:
    done = edgekit("bundle", "means.onnx", "--out", "stick/means")
    assert done.returncode == 0, done.stderr
    job = folder / "stick/means/job.json"
    assert json.loads(job.read_text())["protocol"]["runs"] == 100
    nothing = edgekit("import", "stick/means/result.json")
    assert nothing.returncode == 2
    assert "no such file" in nothing.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bench", "means.onnx", "--device", "x"], "no device 'x'"),
        (["bench", "nothing.onnx", "--device", "a"], "no such file or folder"),
        (["bench", "means.onnx", "--device", "a", "--images", "."], "give --mean and --std"),
        (["bench", ".", "--device", "a"], "is no folder of a build"),
        (["bench", "means.onnx", "--device", "a", "--sustained", "soon"], "a time such as 90s"),
        (["deploy", "means.onnx", "--device", "a", "--device", "a"], "a device is named twice"),
        (["bench", "means.onnx", "--device", "a", "--engine", "GPU"], "--benchmark-binary"),
        (["rollback", "../files", "--device", "a"], "is no name of a model"),
        (["build", "r.yaml", "--target", "rpi", "--device", "x"], "r.yaml"),
    ],
)
def test_mistakes_are_told(folder: Path, words: list[str], told: str) -> None:
    done = edgekit(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow  # the whole protocol: three processes, and a sweep of threads
def test_bench_writes_a_report_and_says_what_it_is_worth(folder: Path) -> None:
    done = edgekit("bench", "means.onnx", "--device", "a", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode == 0) == (report["validity"] != "invalid"), done.stderr
    assert report["latency_us"]["samples"]
    kept = folder / "build/devices/a/means/device-report.json"
    assert json.loads(kept.read_text()) == report


def test_a_group_with_a_canary_as_json_lines(folder: Path) -> None:
    text = (folder / "devices.yaml").read_text()
    devices = {
        name: {**entry, "groups": ["line-3"]} for name, entry in yaml.safe_load(text).items()
    }
    (folder / "devices.yaml").write_text(yaml.safe_dump(devices))
    words = ["deploy", "means.onnx", "--group", "line-3", "--canary", "1", "--without-images"]
    ill = edgekit(*words, "--jsonl", "--check", "false", "--within", "0.1s")
    assert ill.returncode == 5
    assert "`false` ended with 1" in ill.stderr
    records = [json.loads(line) for line in ill.stdout.splitlines()]
    assert [(r["device"], r["state"]) for r in records] == [
        ("a", "failed"), ("b", "skipped"), ("c", "skipped")
    ]  # fmt: skip
    assert records[0]["fault"] == "unhealthy"
    assert not (folder / "a/models/means/current").exists()
    missing = edgekit("deploy", "means.onnx", "--group", "line-4")
    assert missing.returncode == 2
    assert "did you mean 'line-3'" in missing.stderr


def test_what_was_deployed_is_listed_verified_repaired_and_tidied(folder: Path) -> None:
    assert "no model was deployed" in edgekit("device", "models", "a").stdout
    assert edgekit("deploy", "means.onnx", "--device", "a").returncode == 0
    assert "in use     whole" in edgekit("device", "models", "a").stdout
    assert edgekit("verify", "--device", "a").returncode == 0
    model = folder / "a/models/means/current/means.onnx"
    model.write_bytes(b"#" + model.read_bytes()[1:])
    done = edgekit("verify", "--device", "a")
    assert done.returncode == 4
    assert "a: means: means.onnx damaged" in done.stderr
    assert "edgekit deploy ARTIFACT --device a" in done.stderr
    assert edgekit("deploy", "means.onnx", "--device", "a").returncode == 0
    (found,) = json.loads(edgekit("device", "models", "a", "--json").stdout)
    assert [release["damaged"] for release in found["releases"]] == [[]]
    stray = folder / "a/files" / ("0" * 64)
    stray.write_bytes(bytes(300_000))
    assert "a: 0.3 MB freed" in edgekit("device", "clean", "a").stdout
    assert not stray.exists()
    assert edgekit("verify", "--device", "a").returncode == 0
    assert "nobody works on it" in edgekit("device", "unlock", "a").stdout
