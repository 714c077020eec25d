"""What the agent says on a device: its progress, its result, and its last words."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from edgekit.devices.raw import Raw
from edgekit.errors import DeviceError, Fault

OPTIONS = {"openvino": " --runtime openvino"}
"""Of `device setup`, for what it does not install unasked."""


def message_of(line: str) -> dict[str, Any] | None:
    """A line of progress; None for what a library printed in between."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    told = isinstance(message, dict) and {"stage", "done", "total"} <= message.keys()
    return message if told else None


def read_result(name: str, text: str) -> Raw:
    """
    Raises:
        DeviceError: the agent ended well and left something else, such as scores that are NaN.
    """
    try:
        return Raw.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        wrong = first["type"] == "finite_number"
        raise DeviceError(
            f"{name}: the result of the run is none: {where}: {first['msg']}",
            hint="the runtime there computes no numbers: `edgekit device setup` installs the "
            "versions the build used"
            if wrong
            else "try again; if it happens again, its storage is faulty",
            fault=Fault.WRONG_RESULT if wrong else Fault.NO_RESULT,
        ) from error


def crash(name: str, code: int, words: str) -> DeviceError:
    """Why the agent ended, from what it said last."""
    lines = words.strip().splitlines() or ["nothing was said"]
    last = lines[-1]
    if "No module named" in last:
        package = last.rpartition("'")[0].rpartition("'")[2]
        return DeviceError(
            f"{name}: {package} is not installed for the Python that runs there",
            hint=f"edgekit device setup {name}{OPTIONS.get(package, '')}",
            fault=Fault.MISSING_RUNTIME,
        )
    signals = {132: "SIGILL, an instruction it does not have", 137: "SIGKILL, mostly for want of "
               "memory", 139: "SIGSEGV"}  # fmt: skip
    what = signals.get(code if code > 0 else 128 - code, f"exit code {code}")
    return DeviceError(
        f"{name}: the run ended with {what}: {last}",
        hint="`edgekit device check` tells what is missing; --debug shows all it said",
        fault=Fault.CRASHED,
    )
