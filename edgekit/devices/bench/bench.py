"""Measure a bundle on a device, at once or by way of a stick, and write its report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.devices.agent_answer import no_result, not_finite
from edgekit.devices.agent_result import AgentResult
from edgekit.devices.bench.assemble import assemble
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bundle.bundle import INFO, JOB, RESULT, Bundle
from edgekit.devices.bundle.reference import BY_STICK, MODEL
from edgekit.devices.bundle.unpack import opened
from edgekit.devices.device import Device, check_machine, messages_to
from edgekit.devices.lock import held
from edgekit.engine.action import Progress
from edgekit.engine.artifact import sha256_of
from edgekit.engine.records import BadRecord, parse_record
from edgekit.errors import DeviceError, Fault, InputError, IntegrityError
from edgekit.evidence import Evidence

MAX_NAME = 60
"""Characters of a device's name that its board tells: it is a folder's."""
RUN_AGAIN = "make it again on the device: sh run.sh; a run that was stopped leaves none"


def bench(bundle: Bundle, device: Device, progress: Progress) -> DeviceReport:
    """Run a bundle's whole job on a device.

    Raises:
        DeviceError: it could not be run to its end. A run that ended and is not to be believed is
            a report whose validity says so.
    """
    check_machine(device, bundle.info.machine, bundle.info.target)
    with held(device, messages_to(progress)), device.work(bundle.files) as folder:
        result = device.run_agent(folder, JOB, progress, bundle.job)
    transport = device.transport
    try:
        return judge(bundle, result, device.name, transport.address, transport.evidence)
    except BadRecord as error:
        raise no_result(device.name, error) from error


def judge(
    bundle: Bundle, result: AgentResult, device: str, address: str, evidence: Evidence
) -> DeviceReport:
    """The report of what the agent left, once it is sure that it ran this bundle.

    Raises:
        IntegrityError: the result is another bundle's, another agent's or another file's.
        DeviceError: it ran on another architecture than the bundle's. BadRecord: its scores are of
            other images.
    """
    _check_origin(bundle, result, device)
    expected, found = bundle.info.machine, result.environment.machine
    if expected and expected != found:
        raise DeviceError(
            f"{device} ran it as {found}, and {bundle.info.target} is {expected}",
            hint="run it on the device it is for, with a Python of its architecture",
            fault=Fault.WRONG_ARCHITECTURE,
        )
    setting, reference = bundle.setting(device, address, evidence), bundle.reference()
    expected_shape, shape = reference.host.shape, result.scores_of(MODEL).shape
    if shape != expected_shape:
        raise BadRecord(f"scores.{MODEL}: {expected_shape} (images, classes) expected, not {shape}")
    return assemble(result, bundle.info.subject, setting, reference)


def _check_origin(bundle: Bundle, result: AgentResult, device: str) -> None:
    """
    Raises:
        IntegrityError: the result is another bundle's, another agent's or another file's.
    """
    other = None
    if result.id != bundle.id:
        other = "bundle"
    elif result.agent != sha256_of(bundle.folder / "agent.py"):
        other = "agent than the bundle's"
    if other:
        raise IntegrityError(
            f"the result was made by another {other}",
            hint="name the bundle it was made with: --bundle FOLDER",
        )
    bundle.info.subject.check_ran(result.models.get(MODEL), device)


def import_result(path: Path, bundle_path: Path | None, device: str | None) -> DeviceReport:
    """The report of a run on a device that could not be reached: run.sh left `path`.

    Args:
        bundle_path: the bundle it was made with, a folder or a tar; the folder it lies in unless
            named.
        device: what to call the device; None: what its board calls itself.

    Raises:
        InputError: it is no result, or its bundle is not there. IntegrityError: they don't match.
        DeviceError: it ran on another architecture, or its scores are no numbers.
    """
    with _refused(path):
        result = parse_record(AgentResult, _content(path))
    where = bundle_path or path.parent
    if bundle_path is None and not (where / INFO).exists():
        raise InputError(
            f"the bundle that {path} was made with is not beside it",
            hint="name it: --bundle FOLDER or --bundle FILE.tar",
        )
    with opened(where) as bundle, _refused(path):
        bundle.job.check(result)
        name = device or _device_name(result)
        return judge(bundle, result, name, BY_STICK, Evidence.MEASURED)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except BadRecord as error:
        what = f"{path} is no result of run.sh: {error}"
        if error.not_finite:
            raise not_finite(what) from error
        raise InputError(what, hint=RUN_AGAIN) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(
            f"{path} is a folder", hint=f"name the result in it: {path / RESULT}"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _device_name(result: AgentResult) -> str:
    """raspberry-pi-5-model-b-rev-1.0, as a board calls itself."""
    text = result.board.board or result.environment.cpu
    name = re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-.")
    return name[:MAX_NAME] or "device"
