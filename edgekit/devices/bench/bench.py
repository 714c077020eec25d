"""Measure a bundle on a device, at once or by way of a stick, and write its report."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from edgekit.devices.agent_result import AgentResult, read_result
from edgekit.devices.bench.assemble import assemble
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bundle.bundle import INFO, JOB, Bundle, opened
from edgekit.devices.bundle.reference import MODEL
from edgekit.devices.device import Device, check_machine, messages_to
from edgekit.devices.lock import held
from edgekit.engine.action import Progress
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, Fault, InputError, IntegrityError
from edgekit.evidence import Evidence


def bench(bundle: Bundle, device: Device, progress: Progress) -> DeviceReport:
    """Run a bundle's whole job on a device.

    Raises:
        DeviceError: it could not be run to its end. A run that ended and is not to be believed is
            a report whose validity says so.
    """
    check_machine(device, bundle.info.machine, bundle.info.target)
    with held(device, messages_to(progress)), device.work(bundle.files) as folder:
        result = device.run_agent(folder, JOB, progress)
    transport = device.transport
    return judge(bundle, result, device.name, transport.address, transport.evidence)


def judge(
    bundle: Bundle, result: AgentResult, device: str, address: str, evidence: Evidence
) -> DeviceReport:
    """The report of what the agent left, once it is sure that it ran this bundle.

    Raises:
        IntegrityError: the result is another bundle's, another agent's or another file's, or
            lacks a part. DeviceError: it ran on another architecture than the bundle's.
    """
    _check_origin(bundle, result, device)
    expected, found = bundle.info.machine, result.environment.get("machine")
    if expected and expected != found:
        raise DeviceError(
            f"{device} ran it as {found}, and {bundle.info.target} is {expected}",
            hint="run it on the device it is for, with a Python of its architecture",
            fault=Fault.WRONG_ARCHITECTURE,
        )
    timed = result.board["emulator"] or result.protocol
    if not (timed and result.golden and result.scores):
        raise IntegrityError(
            "the result lacks a part of what the bundle's job asks for",
            hint="run the whole job: sh run.sh",
        )
    setting = bundle.setting(device, address, evidence)
    return assemble(result, bundle.info.subject, setting, bundle.reference())


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
    if result.models.get(MODEL) != bundle.info.subject.sha256:
        raise IntegrityError(
            f"{device} ran another file than {bundle.info.subject.file} of the bundle",
            hint="a file was changed there: deploy it again",
        )


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
    try:
        result = read_result(str(path), path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except DeviceError as error:
        if error.fault is Fault.WRONG_RESULT:
            raise
        why = error.message.partition(" is none: ")[2]
        raise InputError(
            f"{path} is no result of run.sh: {why}",
            hint="it is written last: a run that was stopped leaves none",
        ) from error
    where = bundle_path or path.parent
    if bundle_path is None and not (where / INFO).exists():
        raise InputError(
            f"the bundle that {path} was made with is not beside it",
            hint="name it: --bundle FOLDER or --bundle FILE.tar",
        )
    with ExitStack() as stack:
        bundle = stack.enter_context(opened(where))
        name = device or _device_name(result)
        return judge(bundle, result, name, "by way of run.sh", Evidence.MEASURED)


def _device_name(result: AgentResult) -> str:
    """raspberry-pi-5-model-b-rev-1.0, as a board calls itself."""
    text = str(result.board.get("board") or result.environment.get("cpu"))
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-.") or "device"
