"""Whatever bytes stand in a checkpoint, it is read or refused with words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from edgekit.errors import WeightsError
from edgekit.models.architectures import registered
from edgekit.models.checkpoint import read_note, read_state
from edgekit.models.checkpoint_contents import look_into

STATE = {"a.weight": torch.ones(4, 3), "a.bias": torch.zeros(4), "n": torch.tensor(3)}


def saved(old_format: bool) -> bytes:
    stream = io.BytesIO()
    content = {"state_dict": STATE, "best": np.float64(2)}
    torch.save(content, stream, _use_new_zipfile_serialization=not old_format)
    return stream.getvalue()


def with_pickle(pickled: bytes) -> bytes:
    """A checkpoint in a zip archive whose checksums are right, whatever its pickle holds."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(False))) as source, zipfile.ZipFile(stream, "w") as made:
        for name in source.namelist():
            made.writestr(name, pickled if name.endswith("/data.pkl") else source.read(name))
    return stream.getvalue()


def pickle_of(file: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("/data.pkl")))


WHOLE = {
    "zip": saved(False),
    "old": saved(True),
    "safetensors": save(STATE, metadata={"edgekit": '{"seen": "ab"}'}),
    "pickle": pickle_of(saved(False)),
}


@pytest.mark.parametrize("form", WHOLE)
@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_damage_is_refused_with_words(form: str, data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(WHOLE[form])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path / "w"
    path.write_bytes(with_pickle(bytes(content)) if form == "pickle" else bytes(content))
    read_note(path)
    said = ""
    try:
        look_into(path)
        read_state(path)
    except WeightsError as error:
        said = f"{error.message} {error.hint}"
    assert "weights_only" not in said


@pytest.mark.parametrize("form", ["zip", "old", "safetensors"])
def test_what_is_told_without_torch_is_what_torch_reads(form: str, tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(WHOLE[form])
    content = look_into(path).content
    state = content if form == "safetensors" else content["state_dict"]
    shapes = {name: tuple(tensor.shape) for name, tensor in read_state(path).items()}
    assert {name: tensor.shape for name, tensor in state.items()} == shapes


def test_the_source_of_timm_and_torchvision_shows_all_of_their_architectures() -> None:
    """Where it did not, a plan would take the seconds that torch needs, and still be right."""
    import timm
    import torchvision

    assert registered("timm") >= set(timm.list_models())
    known = torchvision.models.list_models(module=torchvision.models)
    assert registered("torchvision") >= set(known)
