"""The configuration of a Keras file, read and written without running anything of it."""

from __future__ import annotations

import importlib
import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from edgekit import packages
from edgekit.engine.confined_call import call_confined
from edgekit.engine.confined_errors import TooLong
from edgekit.engine.confinement import confinement, is_confined
from edgekit.errors import WeightsError

LARGEST = 64 * 2**20
"""Bytes of a configuration; the largest of Keras's own applications has 2 MB."""
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
CODE = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
"""Layers of Keras that hold a program, or read one from elsewhere."""
WHOLE = "save the whole model: model.save('model.keras')"


_FAULTS = (
    OSError, KeyError, ValueError, RuntimeError, SystemError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""Of a damaged file; a SystemError where h5py's own lock gives way over another one."""


class _Stored(BaseModel):
    """What is read of a file: plain data, as the process that reads it is not trusted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    config: str = ""
    weights: dict[str, int] = {}


def read(path: Path) -> Any:
    """The architecture that a .keras or .h5 file describes, as plain data.

    Raises:
        WeightsError: it describes none, keeps parts of itself in other files, or HDF5 does not end
            at it.
    """
    try:
        found = json.loads(_confined(_config_of, path).config)
    except (ValueError, RecursionError) as error:  # no JSON, no end
        raise _no_model(path, "its configuration is not JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        raise _no_model(path, "its configuration describes no model")
    return found


def _confined(function: Callable[[Path], _Stored], path: Path) -> _Stored:
    """HDF5 reads some damaged files for ever, and no signal of Python's ends it: it has the time of
    one image."""
    if is_confined():
        return function(path)
    limits = confinement(f"model.weights: {path}", path.stat().st_size)
    short = replace(limits, seconds=limits.seconds_an_image)
    try:
        return call_confined(short, function, (path,), _Stored)
    except TooLong as error:
        why = f"reading it takes longer than {short.seconds:.0f} s, as that of damaged files does"
        raise _no_model(path, why) from error


def _config_of(path: Path) -> _Stored:
    h5py = _h5py()
    try:
        if path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                if archive.getinfo(CONFIG).file_size > LARGEST:
                    raise _no_model(path, "its configuration is larger than 64 MB")
                text: Any = archive.read(CONFIG)
                if WEIGHTS in archive.namelist():
                    with archive.open(WEIGHTS) as stream, h5py.File(stream) as file:
                        _refuse_elsewhere(file, path)
        else:
            with h5py.File(path) as file:
                _refuse_elsewhere(file, path)
                if "model_config" not in file.attrs:
                    raise _no_model(path, "it holds weights without a model")
                if file.attrs.get_id("model_config").get_storage_size() > LARGEST:
                    raise _no_model(path, "its configuration is larger than 64 MB")
                text = file.attrs["model_config"]
    except _FAULTS as error:
        raise _no_model(path, "it cannot be read as one") from error
    try:
        return _Stored(config=text.decode() if isinstance(text, bytes) else text)
    except ValueError as error:  # neither UTF-8 nor a text
        raise _no_model(path, "its configuration is not JSON") from error


def _no_model(path: Path, why: str) -> WeightsError:
    return WeightsError(f"model.weights: {path} is not a Keras model: {why}", hint=WHOLE)


def _h5py() -> Any:
    with packages.told("model.weights: a Keras model"):
        return importlib.import_module("h5py")


def _refuse_elsewhere(file: Any, path: Path) -> None:
    """Refuse links to other HDF5 files, and data kept in other files: they could name any file of
    this machine.

    Raises:
        WeightsError: with their names.
    """
    h5py = _h5py()
    found: list[str] = []

    def look(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(name)
        elif isinstance(link, h5py.HardLink):
            item = file[name]
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                found.append(name)

    file.visititems_links(look)
    if found:
        raise WeightsError(
            f"model.weights: {path} keeps parts of itself in other files, which are not read: "
            f"{', '.join(found[:3])}",
            hint=WHOLE,
        )


def write(config: Any, path: Path) -> None:
    """Put another configuration into a .keras or .h5 file."""
    text = json.dumps(config)
    if path.suffix == ".h5":
        with _h5py().File(path, "r+") as file:
            file.attrs["model_config"] = text
        return
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in sorted(archive.namelist())}
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in {**parts, CONFIG: text.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # without the time of day
    path.write_bytes(whole.getvalue())


def entries(config: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a configuration, at any depth, the outer ones first."""
    waiting = [config]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield here
        if isinstance(here, dict | list):
            waiting += reversed([*(here.values() if isinstance(here, dict) else here)])


def layer_kinds(config: Any) -> Iterator[str]:
    """The classes of the layers, those inside other models too."""
    for entry in entries(config):
        layers = entry.get("layers")
        for layer in layers if isinstance(layers, list) else ():
            if isinstance(layer, dict) and isinstance(layer.get("class_name"), str):
                yield layer["class_name"]


def stored_weights(path: Path) -> Counter[str]:
    """Bytes of the weights in a file that `read` takes, by their type; an optimizer's are none."""
    return Counter(_confined(_weights_of, path).weights)


def _weights_of(path: Path) -> _Stored:
    h5py, sizes = _h5py(), Counter[str]()

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            sizes[str(item.dtype)] += item.nbytes

    try:
        if path.suffix.lower() != ".keras":
            with h5py.File(path) as file:
                file.visititems(look)
            return _Stored(weights=sizes)
        with zipfile.ZipFile(path) as archive:
            if WEIGHTS in archive.namelist():
                with archive.open(WEIGHTS) as stream, h5py.File(stream) as file:
                    file.visititems(look)
    except _FAULTS as error:
        raise _no_model(path, "its weights cannot be read") from error
    return _Stored(weights=sizes)


def refuse_code(config: Any, path: Path) -> None:
    """
    Raises:
        WeightsError: it holds a Lambda layer or a class of somebody's own.
    """
    found = dict.fromkeys(_called(entry) for entry in entries(config) if _is_foreign(entry))
    if found:
        raise holds_code(path, list(found))


def holds_code(path: Path, found: list[str]) -> WeightsError:
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return WeightsError(
        f"model.weights: {path} holds code or layers of its maker's own: "
        f"{', '.join(found[:8])}{more}",
        hint="loading it could run any code: build the model of Keras's own layers and save it "
        "again, or export it to ONNX",
    )


def _called(entry: dict[str, Any]) -> str:
    inner = entry.get("config")
    label = inner.get("name") if isinstance(inner, dict) else None
    name = entry["class_name"]
    return f"{name} ({label})" if label else str(name)


def _is_foreign(entry: dict[str, Any]) -> bool:
    """Whether an entry of a model's configuration is no layer of Keras's own: code, or what a user
    registered."""
    name, module = entry.get("class_name"), entry.get("module")
    if not isinstance(name, str):
        return False
    if name in CODE or name == "function":
        return True
    is_registered = ">" in str(entry.get("registered_name") or name)
    is_own = not module or str(module).split(".")[0] in ("keras", "builtins")
    return is_registered or not is_own
