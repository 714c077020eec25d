"""The commands as functions: they return, print nothing, and load nothing before its time."""

from __future__ import annotations

import html
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgekit
from edgekit import api
from edgekit.api.results import BuildResult, DeployReport, Failure
from edgekit.cli import cli
from edgekit.devices.bundle.pack import pack_bundle
from edgekit.devices.inventory import add_device
from edgekit.engine.observer import Silent
from edgekit.errors import DeviceError, InputError
from edgekit.report.thumbnails import THUMBNAILS, Thumbnails, entry_of, thumbnail
from edgekit.transports.fake import Fake
from tests.comparison.samples import device_report, write_build
from tests.devices.stub import stub
from tests.devices.tiny import tiny_bundle, write_model
from tests.report.answers import answered, digest_of
from tests.report.test_thumbnails import PIXELS
from tests.test_architecture import HEAVY

NAMES = {"import": "import_result"}
"""Commands whose function has another name."""
NOT_FUNCTIONS = {
    "completion", "device", "explain", "history", "init", "report", "schema", "serve", "stages",
    "store",
}  # fmt: skip
"""Commands that ask, print, or listen, and nothing more."""


class Collecting(Silent):
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def remark(self, line: str) -> None:
        self.remarks.append(line)


def test_a_command_has_a_function_with_a_type_for_everything() -> None:
    commands = {NAMES.get(name, name) for name in cli.commands if name not in NOT_FUNCTIONS}
    of_no_command = {
        "Observer", "Silent", "bench_fleet", "read_report", "read_search", "search_recipe",
    }  # fmt: skip
    assert commands == set(api.__all__) - of_no_command
    for name in commands:
        signature = inspect.signature(getattr(api, name))
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(p.annotation is not p.empty for p in signature.parameters.values())


def test_the_package_has_what_the_room_has_and_a_stub_for_it() -> None:
    assert set(edgekit.__all__) == set(api.__all__)
    package = Path(edgekit.__file__).parent
    stub_lines = package.joinpath("__init__.pyi").read_text().splitlines()
    assert {line.split(" as ")[-1] for line in stub_lines if " as " in line} == set(api.__all__)
    rooms = {path.stem for path in package.iterdir()}
    assert not rooms & set(api.__all__)  # an imported module would take the function's place
    for name in api.__all__:
        assert getattr(edgekit, name) is getattr(api, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgekit.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_import_loads_nothing_and_a_function_nothing_heavy() -> None:
    code = "import sys, edgekit; print(*sys.modules); {}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code.format("edgekit.build, edgekit.compare")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, after = (set(line.split()) for line in done.stdout.splitlines())
    assert not before & {*HEAVY, "numpy", "pydantic", "yaml", "click", "edgekit.api"}
    assert not after & {*HEAVY, "click", "rich"}


def test_builds_are_compared_and_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good, worse = (
        write_build(tmp_path / "good/rpi"),
        write_build(tmp_path / "w/rpi", wrong=[*range(8)]),
    )
    found = edgekit.compare(good, worse, timing=False)
    assert found.pairs[0].accuracy is not None
    assert found.pairs[0].accuracy.verdict == "worse"
    report = edgekit.read_report(good)
    assert report == edgekit.read_report(good / "report.json")
    for shown in (found, report):
        page = shown._repr_html_()
        assert page is not None
        assert page.startswith('<iframe srcdoc="')
        assert "<script" not in page
    assert capfd.readouterr() == ("", "")


def test_what_is_not_there_is_an_error_of_edgekits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no report\.json"):
        edgekit.read_report(tmp_path)
    with pytest.raises(InputError, match="two things are compared"):
        edgekit.compare(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        edgekit.plan(tmp_path / "r.yaml", "rpi")
    with pytest.raises(InputError, match="one of --device and --target"):
        edgekit.estimate(tmp_path)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (edgekit.inspect, {"artifact": "m.onnx", "samples": 0}),
        (edgekit.inspect, {"artifact": "m.onnx", "samples": 2.5}),
        (edgekit.estimate, {"artifact": "m.onnx", "device": "pi5", "threads": 0}),
        (edgekit.calibrate, {"device": "pi5", "threads": 65}),
        (edgekit.bench, {"artifact": "m.onnx", "device": "pi5", "threads": -1}),
        (edgekit.bench, {"artifact": "m.onnx", "device": "pi5", "sustained": -1.0}),
        (edgekit.bundle, {"artifact": "m.onnx", "out": "b.tar", "threads": 0}),
        (edgekit.bundle, {"artifact": "m.onnx", "out": "b.tar", "sustained": float("nan")}),
        (edgekit.deploy, {"artifact": "m.onnx", "device": "pi5", "keep": 0}),
    ],
)
def test_a_number_that_makes_no_sense_is_told_by_its_name(
    function: Callable[..., object],
    arguments: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_DEVICES", str(tmp_path / "devices.yaml"))
    write_model(tmp_path / "m.onnx")
    add_device("pi5", Fake(root=str(tmp_path / "pi5"), python=sys.executable))
    (name, value) = list(arguments.items())[-1]
    with pytest.raises(InputError, match=rf"^{name}: .* expected, not {value}$"):
        function(**arguments)
    assert not (tmp_path / "pi5").exists()


def test_a_device_that_fails_is_a_result_until_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    bundle = tiny_bundle(tmp_path / "bundle")
    pack_bundle(bundle, tmp_path / "b.tar")
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    for name, off in (("good", 0.0), ("bad", 1.0)):
        python = stub(bundle, tmp_path / name, max_abs_diff=off)
        add_device(name, Fake(root=str(tmp_path / name / "root"), python=str(python)))
    found = edgekit.deploy(tmp_path / "b.tar", ["good", "bad"], store=tmp_path / "store")
    assert isinstance(found, DeployReport)
    assert [one.state for one in found.devices] == ["deployed", "failed"]
    with pytest.raises(DeviceError, match="bad: "):
        found.check()
    assert capfd.readouterr() == ("", "")


def test_a_remark_goes_to_the_observer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.engine.confinement.unprevented", lambda: "no Landlock here")
    builds = write_build(tmp_path / "a/rpi"), write_build(tmp_path / "b/rpi")
    watching = Collecting()
    edgekit.compare(*builds, observer=watching)
    assert watching.remarks == ["no Landlock here"]


def test_a_page_needs_no_other_import_than_the_functions(tmp_path: Path) -> None:
    code = "from edgekit.api import read_report; print(read_report('.')._repr_html_()[:7])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=write_build(tmp_path / "a/rpi"),
        env={**os.environ, "PYTHONPATH": str(Path(edgekit.__file__).parents[1])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "<iframe\n"


def test_a_build_is_a_page_with_what_lies_beside_its_report(tmp_path: Path) -> None:
    pictures = Thumbnails(pictures={digest_of(1): thumbnail(PIXELS[1])}).model_dump_json()
    (tmp_path / THUMBNAILS).write_text(pictures)
    report = answered([0, 0, 1], [0, 0, 1], [0, 1, 1])
    report.thumbnails = entry_of(pictures)
    found = BuildResult(
        targets=("rpi",), reports=(report,), folders=(tmp_path,), left_out={}, failure=None
    )
    assert "data:image/jpeg;base64," in str(found._repr_html_())
    alone = str(report._repr_html_())
    assert "base64," not in alone
    assert "No thumbnails: they lie in the build" in alone


@pytest.mark.parametrize("own", ["ACTIVE", ""])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(
    own: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", own)
    if not own:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    with pytest.raises(InputError):
        edgekit.build(tmp_path / "none.yaml", target="rpi", build_dir=tmp_path)
    assert os.environ["OMP_WAIT_POLICY"] == (own or "PASSIVE")


def test_a_build_of_which_nothing_was_measured_is_a_page_that_says_why() -> None:
    found = BuildResult(
        targets=(),
        reports=(),
        folders=(),
        left_out={"android": "no <LiteRT>"},
        failure=Failure(message="rpi: no such kernel", hint="try another runtime", exit_code=2),
    )
    page = html.unescape(str(found._repr_html_()))
    for words in ("rpi: no such kernel", "try another runtime", "no &lt;LiteRT&gt;"):
        assert words in page


def test_a_run_on_a_device_is_a_page(tmp_path: Path) -> None:
    report = device_report(tiny_bundle(tmp_path / "bundle"))
    assert "srcdoc" in str(report._repr_html_())
