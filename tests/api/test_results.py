"""What the functions return, kept as JSON and read again: nothing that failed is forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.api.results import BuildResult, DeployReport, Failure, InspectReport
from edgekit.devices.deploy.result import DeployResult, DeployState
from edgekit.devices.facts import DeviceProblem
from edgekit.errors import DeviceError, EdgekitError, GateBroken, InputError
from tests.build_folder.samples import sample_report
from tests.cli.test_console import PAIR
from tests.inspection.test_causes import SCORES, inspection, lossy


def built(error: EdgekitError | None) -> BuildResult:
    return BuildResult(
        targets=("rpi",),
        reports=(sample_report(),),
        folders=(Path("build/photos/rpi"),),
        left_out={"android": "no LiteRT"},
        failure=Failure.of(error) if error else None,
    )


@pytest.mark.parametrize(
    "error",
    [
        GateBroken("a gate is broken: rpi: 3 points", hint="see the report"),
        InputError("nothing could be built for rpi"),
        DeviceError("pi5: no answer", hint="is it on?"),
        EdgekitError("a fault of edgekit's own"),
    ],
)
def test_a_build_that_failed_fails_when_it_is_read_again(error: EdgekitError) -> None:
    result = built(error)
    again = BuildResult.model_validate_json(result.model_dump_json())
    assert again == result
    assert not again.passed
    with pytest.raises(type(error)) as raised:
        again.check()
    told = raised.value
    assert type(told) is type(error)
    assert (told.message, told.hint, told.exit_code) == (error.message, error.hint, error.exit_code)


def test_a_build_that_passed_passes_when_it_is_read_again() -> None:
    again = BuildResult.model_validate_json(built(None).model_dump_json())
    assert again.passed
    again.check()


def test_a_deployment_that_failed_fails_when_it_is_read_again() -> None:
    stopped = DeviceError("pi5: interrupted", hint="deploy again")
    stopped.exit_code = 130
    found = DeployReport.of(
        [
            DeployResult("pi4", DeployState.DEPLOYED, "abc"),
            DeployResult("pi5", DeployState.FAILED, "abc", error=stopped),
            DeployResult("pi3", DeployState.FAILED, "abc", error=DeviceError("pi3: no answer")),
        ]
    )
    with pytest.raises(DeviceError) as raised:
        found.check()
    assert raised.value.__cause__ is stopped  # whose traceback --debug shows
    again = DeployReport.model_validate_json(found.model_dump_json())
    with pytest.raises(DeviceError, match="pi5: interrupted; pi3: no answer") as raised:
        again.check()
    assert (raised.value.hint, raised.value.exit_code) == ("deploy again", 130)


def test_an_inspection_is_written_as_the_command_prints_it_and_read_again() -> None:
    found = inspection(lossy("bad", clipped=0.02, clipping=0.9), SCORES)
    report = InspectReport.of(PAIR, found, ())
    written = report.model_dump_json()
    fields = json.loads(written)
    assert fields["float"] == "store/model.tflite"
    assert {"arose", "passed"} <= fields["inspection"]["tensors"][0].keys()
    assert all(cause["mend"] for cause in fields["findings"])
    assert InspectReport.model_validate_json(written) == report
    problem = DeviceProblem(what="it is hot", fix="wait")
    assert DeviceProblem.model_validate_json(problem.model_dump_json()) == problem
