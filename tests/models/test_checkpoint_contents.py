"""Whatever bytes stand in a checkpoint, it is read or refused with words."""

from __future__ import annotations

import argparse
import io
import pickle
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from edgekit.errors import WeightsError
from edgekit.models import pickle_operations
from edgekit.models.architectures import registered
from edgekit.models.checkpoint import read_note, read_state
from edgekit.models.checkpoint_contents import LEGACY, look_into
from edgekit.models.idle_unpickler import IdleUnpickler

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


class Made:
    """What pickles as any call."""

    def __init__(self, call: Callable[..., object], *args: object, state: object = None) -> None:
        self.reduced = (call, args, state) if state is not None else (call, args)

    def __reduce__(self) -> tuple[object, ...]:
        return self.reduced


MANY = list(range(300))
TEXT = "a" * 3000
WIDE = (torch.storage.UntypedStorage, torch.Tensor, torch.FloatTensor, bytearray)


HUNGRY = {
    **{call.__name__: Made(call, 700_000_000) for call in WIDE},
    "lists in sets": [Made(set, MANY) for _ in range(100)],
    "lists in counters": [Made(Counter, MANY) for _ in range(100)],
    "text in bytes": [Made(bytearray, TEXT, "latin-1") for _ in range(100)],
    "a set in sets": [Made(set, set(MANY))],
    "attributes": [
        Made(OrderedDict, state=state) for state in [{str(n): n for n in MANY}] for _ in range(100)
    ],
    "a wider encoding": Made(__import__("_codecs").encode, TEXT, "utf-32"),
    "a parameter's shape": Made(
        torch.nn.Parameter, state=(torch.ones(1).untyped_storage(), 0, (10**9,), (1,))
    ),
}


@pytest.mark.parametrize("what", HUNGRY)
def test_a_call_that_takes_memory_is_refused_before_torch_sees_it(
    what: str, tmp_path: Path
) -> None:
    path = tmp_path / "w"
    torch.save({"state_dict": STATE, "more": HUNGRY[what]}, path)
    with pytest.raises(WeightsError, match="is not a readable checkpoint"):
        look_into(path)


def test_what_those_calls_are_honestly_for_is_read(tmp_path: Path) -> None:
    words = Counter(str(n) for n in MANY)
    path = tmp_path / "w"
    named = OrderedDict(STATE)
    named._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    more = [set(MANY), words, bytearray(b"abc"), b"\xff" * 3000, torch.Size([3]), complex(1, 2)]
    torch.save(
        {"state_dict": named, "more": [*more, argparse.Namespace(a=Path("b")), np.float32(1)]}, path
    )
    assert look_into(path).content["state_dict"].keys() == STATE.keys()
    assert read_state(path).keys() == STATE.keys()


def test_values_of_any_type_are_within_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "w"
    kinds = [torch.uint16, torch.float8_e5m2, torch.int8, torch.float64, torch.uint32]
    torch.save({str(n): torch.ones(3, 2).to(kind).t() for n, kind in enumerate(kinds)}, path)
    assert {tensor.shape for tensor in look_into(path).content.values()} == {(2, 3)}


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((1 << 4_000_000,), (0,), 0),
        ((1,), (1 << 63,), 0),
        ((1,), (1,), -1),
        ((1.0,), (1,), 0),
        ((1,) * 65, (1,) * 65, 0),
    ],
)
def test_a_shape_is_of_numbers_that_torch_can_hold(
    size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    reader = IdleUnpickler(io.BytesIO())
    with pytest.raises(ValueError, match="a tensor whose shape no tensor has"):
        reader._tensor((10, None), offset, size, stride)


def test_a_quantised_tensor_is_within_its_values(tmp_path: Path) -> None:
    path = tmp_path / "w"
    size = (10**9,)
    values = torch.quantize_per_tensor(torch.ones(1), 1.0, 0, torch.qint8).storage()  # type: ignore[no-untyped-call]
    scale = (torch.per_tensor_affine, 1.0, 0)
    call = torch._utils._rebuild_qtensor
    made = Made(call, values, 0, size, (1,), scale, False, OrderedDict())
    torch.save({"state_dict": STATE, "more": made}, path)
    with pytest.raises(WeightsError, match="reaches beyond its values"):
        look_into(path)


@pytest.mark.parametrize("keys", [Made(bytearray, 700_000_000), [["0"]], {"0": 1}, [1]])
def test_the_keys_of_the_old_format_are_names(keys: object, tmp_path: Path) -> None:
    path = tmp_path / "w"
    stream = io.BytesIO(WHOLE["old"])
    for _ in LEGACY, "version", "machine":
        IdleUnpickler(stream).load()
    IdleUnpickler(stream).load()
    begin = stream.tell()
    names = IdleUnpickler(stream).load()
    assert sorted(names) == names
    path.write_bytes(WHOLE["old"][:begin] + pickle.dumps(keys, 2) + WHOLE["old"][stream.tell() :])
    with pytest.raises(WeightsError, match="is not a readable checkpoint"):
        look_into(path)


def test_classes_are_named_a_thousand_times_at_most() -> None:
    reader = IdleUnpickler(io.BytesIO())
    first = reader.find_class("a", "0")
    for n in range(1000):
        reader.find_class("a", str(n))
    assert reader.find_class("a", "0") is first
    with pytest.raises(ValueError, match="more than 1000"):
        reader.find_class("a", "1000")


@pytest.mark.parametrize(
    "made",
    [
        *(pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET, pickle.TUPLE1),
        *(pickle.MARK + code for code in (pickle.LIST, pickle.DICT, pickle.FROZENSET)),
    ],
)
def test_a_byte_that_makes_a_container_is_not_repeated_for_ever(
    made: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle_operations, "MAX_CONTAINERS", 1000)
    pickled = pickle.PROTO + b"\x04N" + made * 1001
    with pytest.raises(ValueError, match="more than 1,000 lists, dicts, sets and tuples"):
        IdleUnpickler(io.BytesIO(pickled)).load()


def test_a_byte_that_begins_a_container_is_not_repeated_for_ever() -> None:
    deep = pickle.MARK * 9000 + pickle.TUPLE * 9000
    IdleUnpickler(io.BytesIO(deep * 2 + b".")).load()
    with pytest.raises(ValueError, match="more than 10,000 containers inside one another"):
        IdleUnpickler(io.BytesIO(pickle.MARK * 10_001)).load()


def test_a_byte_that_gives_a_number_is_not_repeated_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pickle_operations, "MAX_CONTAINERS", 1000)
    names = [f"images/of a class/{n:06}.jpg" for n in range(3000)]
    assert IdleUnpickler(io.BytesIO(pickle.dumps(names, 4))).load() == names
    with pytest.raises(ValueError, match="numbers to more than it holds"):
        IdleUnpickler(io.BytesIO(b"N" + pickle.MEMOIZE * 2000 + b".")).load()


@pytest.mark.parametrize(
    "made",
    [b"ccollections\nOrderedDict\n", b"ctorch._tensor\n_rebuild_from_type_v2\n", b"(K\x01t", b"]"],
)
def test_nothing_but_stand_ins_is_filled_with_attributes(made: bytes) -> None:
    pickled = made + b"(N}U\x0c__defaults__K\x05\x85stb."
    reader = IdleUnpickler(io.BytesIO(pickled))
    with pytest.raises(ValueError, match="with attributes"):
        reader.load()


def test_the_source_of_timm_and_torchvision_shows_all_of_their_architectures() -> None:
    """Where it did not, a plan would take the seconds that torch needs, and still be right."""
    import timm
    import torchvision

    assert registered("timm") >= set(timm.list_models())
    known = torchvision.models.list_models(module=torchvision.models)
    assert registered("torchvision") >= set(known)
