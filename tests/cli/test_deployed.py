"""What is said of what was deployed and is not whole any more."""

from __future__ import annotations

import pytest

from edgekit.api.results import VerifyReport
from edgekit.cli import cli
from edgekit.devices.advice import problems_of
from edgekit.devices.facts import Checked, DeployedModel, DeployedRelease
from edgekit.errors import InputError, IntegrityError

USED, KEPT = "a" * 64, "b" * 64
DEPLOY, CLEAN = "edgekit deploy ARTIFACT --device pi5", "edgekit device clean pi5 --damaged"


def model(*damaged: str, lost: bool = False) -> DeployedModel:
    releases = [
        DeployedRelease(release=name, in_use=name == USED, damaged=["x"] if name in damaged else [])
        for name in ([KEPT] if lost else [USED, KEPT])
    ]
    return DeployedModel(name="photos", current=USED, previous=KEPT, releases=releases)


@pytest.mark.parametrize(
    ("found", "message", "hint"),
    [
        (model(lost=True), "pi5: photos: the release in use is gone: aaaaaaaaaaaaaaaa", DEPLOY),
        (model(USED), "pi5: photos: x damaged", DEPLOY),
        (model(KEPT), "pi5: photos: x damaged", CLEAN),
        (model(USED, KEPT), "pi5: photos: x damaged; pi5: photos: x damaged", DEPLOY),
    ],
)
def test_what_is_not_whole_has_the_command_that_mends_it(
    found: DeployedModel, message: str, hint: str
) -> None:
    with pytest.raises(IntegrityError) as raised:
        VerifyReport(devices={"other": (model(),), "pi5": (found,)}).check()
    assert raised.value.message == message
    assert (raised.value.hint or "").endswith(hint)


def test_what_is_whole_passes() -> None:
    VerifyReport(devices={"pi5": (model(),), "empty": ()}).check()


@pytest.mark.parametrize(
    ("found", "fix", "blocks"),
    [(model(lost=True), DEPLOY, True), (model(USED), DEPLOY, True), (model(KEPT), CLEAN, False)],
)
def test_a_check_of_the_device_says_the_same(found: DeployedModel, fix: str, blocks: bool) -> None:
    here = {"name": "pi5", "address": "pi@pi5", "home": "~/edgekit", "unread": {"python": "no"}}
    checked = Checked.model_validate({**here, "models": [found]})
    (problem,) = (p for p in problems_of(checked, has_links=True) if "of photos" in p.what)
    assert problem.fix.endswith(fix)
    assert problem.blocks is blocks


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["deploy", "m.onnx", "--within", "5s"], "--within is how long the check is given"),
        (["rollback", "m", "--within", "5s"], "--within is how long the check is given"),
        (["deploy", "m.onnx", "--canary", "1", "--wait", "169h"], "--wait: 7 days (168h) at most"),
    ],
)
def test_times_that_make_no_sense(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        cli.main([*words, "--device", "pi5"], standalone_mode=False)
    assert message in raised.value.message


def test_what_a_failing_check_does_is_told_by_each_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = {}
    for command in ("deploy", "rollback"):
        cli.main([command, "--help"], standalone_mode=False)
        told[command] = " ".join(capsys.readouterr().out.split())
    assert "else the release before is put back" in told["deploy"]
    assert "the switch stays" in told["rollback"]
