"""Give a device a Python of its own for the agent: `edgekit device setup`.

The wheels are fetched on this machine and pushed by their hash, so the device needs no network.
They go into <home>/venv, made with the device's Python, which itself is not touched. The new venv
is built beside the old one and takes its place once every module of it could be imported.
"""

from __future__ import annotations

import json
import shlex

from pydantic import BaseModel, ConfigDict

from edgekit.agent.agent import ARM_CORES
from edgekit.devices._wheels import Wheel, fetch_wheels
from edgekit.devices.check import probe_python
from edgekit.devices.device import Device
from edgekit.devices.emulated_wheel import core_named, refuse_dying
from edgekit.devices.engines import DEFAULT_RUNTIMES, ENGINES, MODULES
from edgekit.devices.facts import PythonThere
from edgekit.devices.files import SYNC_SECONDS, patience
from edgekit.devices.lock import held
from edgekit.devices.trial import try_runtimes
from edgekit.engine.artifact import sha256_of
from edgekit.errors import DeviceError, Fault, InputError
from edgekit.evidence import Evidence
from edgekit.runtimes import find_runtimes
from edgekit.spec.yamlfile import suggestion
from edgekit.transports.base import Completed, Listener, ignore
from edgekit.transports.emulation.cpus import CpuName

RECORD = "edgekit.json"
SIGILL = (132, -4)
"""How a shell, and this machine, tell an illegal instruction."""
UNPACKED_RATIO = 4
"""Times the bytes of its wheel that a package takes once it is installed, at most."""


class SetUp(BaseModel):
    """What a device's venv holds now."""

    model_config = ConfigDict(extra="forbid")

    python: str
    packages: dict[str, str]
    notes: list[str]
    """Packages that are not at the version of this machine, and why."""
    was_there: bool
    """Nothing had to be done."""


def set_up(
    device: Device, runtimes: tuple[str, ...] = DEFAULT_RUNTIMES, on_message: Listener = ignore
) -> SetUp:
    """Make, or make anew, the venv of an open device.

    Args:
        runtimes: by edgekit's names for them: litert, onnxruntime, openvino.
        on_message: called with what is being done.

    Raises:
        InputError: no such runtime, or a venv would not be used: the inventory names a Python, or
            the device is emulated.
        DeviceError: no Python there, no wheel that fits, no space, or a module that cannot be
            imported there. The venv that was there before stays.
    """
    _refuse(device, runtimes)
    with held(device, on_message):
        return _set_up(device, runtimes, on_message)


def _set_up(device: Device, runtimes: tuple[str, ...], on_message: Listener) -> SetUp:
    _recover(device)
    python = _base_python(device)
    on_message(f"fetching wheels for Python {python.version} on {python.machine}")
    core = core_named(ARM_CORES.get(python.part or ""))
    with fetch_wheels(python, runtimes) as wheels:
        if core:
            _refuse_dying(device.name, core, runtimes, wheels, on_message)
        done = SetUp(
            python=f"{device.home}/venv/bin/python",
            packages={wheel.package: wheel.version for wheel in wheels[1:]},
            notes=[f"{w.package} {w.version}: {w.note}" for w in wheels if w.note],
            was_there=False,
        )
        record = {wheel.path.name: sha256_of(wheel.path) for wheel in wheels[1:]}
        if _is_there(device, record) and _runs(device, wheels[1:]):
            return done.model_copy(update={"was_there": True})
        size = UNPACKED_RATIO * sum(wheel.path.stat().st_size for wheel in wheels)
        device.files.need(size, "a venv with runtimes")
        try:
            _install(device, wheels, record, on_message, patience(size))
        except BaseException:
            device.forget(f"{device.home}/venv.new")
            raise
    return done


def _refuse(device: Device, runtimes: tuple[str, ...]) -> None:
    for name in runtimes:
        if name not in ENGINES:
            raise InputError(f"no runtime {name!r}; {suggestion(name, list(ENGINES))}")
    if device.transport.python:
        raise InputError(
            f"{device.name} runs the agent with {device.transport.python}, as the inventory says, "
            "so a venv would not be used",
            hint=f"install there what is missing, or remove `python` from the entry {device.name}",
        )
    if device.transport.evidence is Evidence.EMULATED:
        raise InputError(
            f"{device.name} is an emulated device: its tree is built with its runtimes",
            hint=f"edgekit device check {device.name}",
        )


def _refuse_dying(
    name: str,
    core: CpuName,
    runtimes: tuple[str, ...],
    wheels: list[Wheel],
    on_message: Listener,
) -> None:
    """
    Raises:
        InputError: a wheel does not run on the device's processor.
    """
    # The emulated core has this machine's versions, and no others.
    as_here = {wheel.package for wheel in wheels if not wheel.note}
    for runtime in (find_runtimes()[runtime]() for runtime in runtimes):
        if runtime.engine in as_here:
            refuse_dying(runtime, core, f"a {core.title()}, the processor of {name}", on_message)


def _base_python(device: Device) -> PythonThere:
    try:
        return probe_python(device, "python3")
    except DeviceError as error:
        if error.fault is not Fault.OTHER:
            raise
        raise DeviceError(
            f"{device.name}: no python3 runs there: {error.message}",
            hint="on the device: sudo apt-get install python3",
            fault=Fault.MISSING_PROGRAM,
        ) from error


def _install(
    device: Device,
    wheels: list[Wheel],
    record: dict[str, str],
    on_message: Listener,
    limit: float,
) -> None:
    """
    Args:
        limit: seconds for what writes all of it.
    """
    installer, *packages = wheels
    names = ", ".join(f"{wheel.package} {wheel.version}" for wheel in packages)
    on_message(f"sending {sum(w.path.stat().st_size for w in wheels) / 1e6:.0f} MB: {names}")
    with device.work({wheel.path.name: wheel.path for wheel in wheels}) as folder:
        on_message("installing")
        _new_venv(device)
        requirements = " ".join(
            shlex.quote(f"./{w.path.name} --hash=sha256:{sha256_of(w.path)}") for w in packages
        )
        new = shlex.quote(f"{device.home}/venv.new/bin/python")
        device.sh(
            f"cd {shlex.quote(folder)} && printf '%s\\n' {requirements} > requirements.txt && "
            f"{new} {installer.path.name}/pip --isolated --no-cache-dir install --quiet "
            "--disable-pip-version-check --no-index --no-deps --require-hashes -r requirements.txt",
            timeout=limit,
        )
    _check_imports(device, packages)
    text = shlex.quote(json.dumps(record, sort_keys=True))
    # They are installed now, and a small card has better use for the space.
    sent = " ".join(f"files/{sha256_of(wheel.path)}" for wheel in wheels)
    device.sh(
        f"cd {shlex.quote(device.home)} && printf %s {text} > venv.new/{RECORD} && sync && "
        "rm -rf venv.old && { test ! -e venv || mv venv venv.old; } && mv venv.new venv && "
        f"rm -rf venv.old {sent}",
        timeout=limit,
    )


def _runs(device: Device, packages: list[Wheel]) -> bool:
    """Whether all that was installed before can be imported, and runs tiny models."""
    return _imports(device, "venv", packages).code == 0 and not _fault(device, "venv", packages)


def _fault(device: Device, venv: str, packages: list[Wheel]) -> str | None:
    """What comes of tiny models there; None where they run."""
    python = shlex.quote(f"{device.home}/{venv}/bin/python")
    versions = {wheel.package: wheel.version for wheel in packages}
    return next((t.fault for t in try_runtimes(device, versions, python) if t.fault), None)


def _check_imports(device: Device, packages: list[Wheel]) -> None:
    """
    Raises:
        DeviceError: a module cannot be imported, or runs no tiny model; the old venv is untouched.
    """
    tried = _imports(device, "venv.new", packages)
    if tried.code == 0:
        fault = _fault(device, "venv.new", packages)
        if fault is None:
            return
        raise DeviceError(
            f"{device.name}: what was installed does not run: {fault}",
            hint="the old venv stays; install another version of it here, and set up again",
            fault=Fault.MISSING_RUNTIME,
        )
    raise DeviceError(
        f"{device.name}: what was installed cannot be imported: "
        f"{(tried.err.strip().splitlines() or [f'exit code {tried.code}'])[-1]}"
        + ("; it has instructions that this processor lacks" if tried.code in SIGILL else ""),
        hint="the old venv stays; a library of the system may be missing, e.g. on the device: "
        "sudo apt-get install libgomp1 libatomic1",
        fault=Fault.MISSING_RUNTIME,
    )


def _new_venv(device: Device) -> None:
    # pip runs from its own wheel: Debian's python3 without python3-venv cannot bring it.
    home = shlex.quote(device.home)
    command = f"cd {home} && rm -rf venv.new && python3 -m venv --without-pip venv.new"
    done = device.transport.run(command, timeout=SYNC_SECONDS)
    if done.code:
        error = device.error(command, done.code, done.err)
        error.hint = error.hint or "on the device: sudo apt-get install python3-venv"
        raise error


def _recover(device: Device) -> None:
    """Put the old venv back where a setup was cut between the two renames."""
    device.sh(f"cd {shlex.quote(device.home)} && {{ test -e venv || test ! -e venv.old || "
              "mv venv.old venv; }")  # fmt: skip


def _is_there(device: Device, record: dict[str, str]) -> bool:
    done = device.transport.run(f"cat {shlex.quote(f'{device.home}/venv/{RECORD}')}")
    return done.code == 0 and done.out.strip() == json.dumps(record, sort_keys=True)


def _imports(device: Device, venv: str, wheels: list[Wheel]) -> Completed:
    """Import every module once: a wheel can fit by its name and lack a library of the system."""
    modules = [MODULES[wheel.package] for wheel in wheels if wheel.package in MODULES]
    python = shlex.quote(f"{device.home}/{venv}/bin/python")
    return device.transport.run(f"{python} -c 'import {', '.join(modules)}'", timeout=300)
