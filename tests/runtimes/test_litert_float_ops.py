"""What int8 breaks or slows in LiteRT, and the operators that stay in float for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit import stats
from edgekit.data.size import Size
from edgekit.errors import InputError, Unsupported
from edgekit.runtimes import _tflite, litert
from edgekit.runtimes.contract.input_form import InputForm
from tests.runtimes.litert_models import (
    HALF,
    RUNTIME,
    SIZE,
    card,
    compiled,
    quantized,
    scores,
    shapes,
    trained,
)

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_quantizer")

FLOAT = InputForm(dtype="float32", mean=HALF, std=HALF)
CALIBRATION, _ = shapes(48, seed=7)
IMAGES, CLASSES = shapes(48, seed=1)


@dataclass
class Attention:
    """EfficientViT-B0, which attends linearly, in float."""

    source: Path
    scores: Any
    float_ops: tuple[str, ...]


@pytest.fixture(scope="module")
def attention(tmp_path_factory: pytest.TempPathFactory) -> Attention:
    its_card = card("efficientvit_b0")
    folder = tmp_path_factory.mktemp("attention") / "float"
    source = compiled(trained("efficientvit_b0"), its_card, folder)
    return Attention(source, scores(source, FLOAT, IMAGES), RUNTIME.float_ops(source))


def kinds_of(path: Path, names: tuple[str, ...]) -> dict[str, int]:
    model = _tflite.read(path)
    graph = model.subgraphs[0]
    kinds = {
        _tflite.name(graph, op): kind
        for op, kind in zip(graph.operators, _tflite.kinds(model), strict=True)
    }
    assert set(names) <= set(kinds)
    return Counter(kinds[name] for name in names)


def outside(path: Path) -> dict[str, int]:
    return Counter(line.split()[0] for line in RUNTIME.describe(path).outside_delegate)


def test_the_islands_are_the_attention_without_its_convolutions(attention: Attention) -> None:
    kinds = kinds_of(attention.source, attention.float_ops)
    blocks = kinds["DIV"]
    assert blocks == 4
    assert kinds["BATCH_MATMUL"] == kinds["RELU"] == 2 * blocks
    assert kinds["CONCATENATION"] == blocks
    assert not set(kinds) & {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "HARD_SWISH"}


def test_islands_keep_the_scores_that_plain_int8_loses(
    attention: Attention, tmp_path: Path
) -> None:
    its_card = card("efficientvit_b0")
    found, descriptions = {}, {}
    for name, float_ops in (("plain", ()), ("float_ops", attention.float_ops)):
        form = quantized(
            attention.source, its_card, CALIBRATION, tmp_path / name, float_ops=float_ops
        )
        path = tmp_path / name / RUNTIME.file
        found[name] = stats.sqnr_db(attention.scores, scores(path, form, IMAGES))
        descriptions[name] = RUNTIME.describe(path)
    assert (attention.scores.argmax(1) == CLASSES).mean() > 0.9
    assert found["plain"] < 10
    assert found["float_ops"] > found["plain"] + 10
    count = descriptions["float_ops"].count()
    assert count["DIV float32"] == count["CONCATENATION float32"] == 4
    assert count["BATCH_MATMUL float32"] == 8
    assert "CONV_2D float32" not in count
    assert len(descriptions["float_ops"].float_heavy) == 8
    lost = {name: len(d.outside_delegate) for name, d in descriptions.items()}
    assert lost["float_ops"] < lost["plain"]


def test_an_int8_division_stops_the_model(
    attention: Attention, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert, "LEFT_IN_FLOAT", ())
    form = quantized(attention.source, card("efficientvit_b0"), CALIBRATION, tmp_path / "int8")
    path = tmp_path / "int8" / RUNTIME.file
    with pytest.raises(RuntimeError, match=r"div.*zero_point"):
        scores(path, form, IMAGES[:8])
    refused = RUNTIME.unsupported_reasons(path, "CPU", "tflite-runtime==2.14.0")
    assert len(refused) == 4
    assert all("DIV" in line and "int8" in line for line in refused)
    assert RUNTIME.unsupported_reasons(path, "CPU", None) == ()


def test_an_island_that_is_not_there_is_named(attention: Attention, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no operator of the model is called nowhere"):
        quantized(
            attention.source,
            card("efficientvit_b0"),
            CALIBRATION[:2],
            tmp_path / "int8",
            float_ops=("nowhere",),
        )


@pytest.mark.parametrize("arch", ["lcnet_035", "test_efficientnet"])
def test_convolutional_networks_have_no_islands(arch: str, tmp_path: Path) -> None:
    from edgekit.models.timm_models import create

    source = compiled(create(arch, 2), card(arch, labels=("a", "b")), tmp_path / "float")
    assert RUNTIME.float_ops(source) == ()


def test_each_hard_swish_in_int8_leaves_the_delegate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.Hardswish()]
    layers += [torch.nn.Conv2d(8, 8, 3), torch.nn.Hardswish(), torch.nn.Conv2d(8, 2, 3)]
    model = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    its_card = card("net", labels=("a", "b"))
    source = compiled(model, its_card, tmp_path / "float")
    quantized(source, its_card, CALIBRATION[:4], tmp_path / "mended")
    monkeypatch.setattr(litert, "LEFT_IN_FLOAT", ())
    quantized(source, its_card, CALIBRATION[:4], tmp_path / "trap")
    assert outside(tmp_path / "mended" / RUNTIME.file) == {}
    assert outside(tmp_path / "trap" / RUNTIME.file) == {"HARD_SWISH": 2}
    mended = RUNTIME.describe(tmp_path / "mended" / RUNTIME.file)
    # The price: out of int8 before each, and back behind it.
    assert len(mended.conversions) == 4


class ClassToken(torch.nn.Module):
    """Padded max pooling, as in a ResNet, then a stored token before the patches, as in a ViT."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 16, 8, 8)
        self.pool = torch.nn.MaxPool2d(3, 2, 1)
        self.token = torch.nn.Parameter(torch.randn(1, 1, 16))
        self.head = torch.nn.Linear(16, 2)

    def forward(self, x: Any) -> Any:
        patches = self.pool(self.patches(x)).flatten(2).transpose(1, 2)
        return self.head(torch.cat((self.token, patches), 1).mean(1))


def test_what_the_quantizer_cannot_do_stays_in_float_and_the_rest_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    its_card = card("net", labels=("a", "b"))
    source = compiled(ClassToken(), its_card, tmp_path / "float")
    form = quantized(source, its_card, CALIBRATION[:8], tmp_path / "mended")
    made = tmp_path / "mended" / RUNTIME.file
    left = {o.kind for o in RUNTIME.describe(made).operators if o.precision == "float32"}
    assert left - {"QUANTIZE"} == {"PADV2", "MAX_POOL_2D", "CONCATENATION"}
    assert RUNTIME.describe(made).float_heavy == []
    before, after = scores(source, FLOAT, IMAGES), scores(made, form, IMAGES)
    assert stats.sqnr_db(before, after) > 15
    monkeypatch.setattr(_tflite, "beyond_int8", lambda model: [])
    with pytest.raises(Unsupported, match="Ranks of scales"):
        quantized(source, its_card, CALIBRATION[:8], tmp_path / "trap")


class Softmax(torch.nn.Module):
    """Attention with a softmax between two products of computed tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Conv2d(3, 24, 8, 8)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x: Any) -> Any:
        q, k, v = self.qkv(x).flatten(2).chunk(3, 1)
        weights = (q.transpose(1, 2) @ k / 8**0.5).softmax(-1)
        return self.head((weights @ v.transpose(1, 2)).mean(1))


def test_softmax_attention_stays_inside_the_delegate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    its_card = card("net", labels=("a", "b"))
    source = compiled(Softmax().eval(), its_card, tmp_path / "float")
    assert RUNTIME.float_ops(source) == ()
    quantized(source, its_card, CALIBRATION[:4], tmp_path / "mended")
    monkeypatch.setattr(litert, "LEFT_IN_FLOAT", ())
    quantized(source, its_card, CALIBRATION[:4], tmp_path / "trap")
    assert outside(tmp_path / "trap" / RUNTIME.file).keys() >= {"SOFTMAX", "BATCH_MATMUL"}
    # XNNPACK takes a FULLY_CONNECTED of two computed tensors in neither type.
    assert outside(tmp_path / "mended" / RUNTIME.file).keys() <= {"FULLY_CONNECTED"}


def test_conversions_and_transposes_are_those_between_operators(attention: Attention) -> None:
    description = RUNTIME.describe(attention.source)
    assert description.conversions == ()
    assert len(description.transposes) == description.count()["TRANSPOSE float32"] > 0


def test_multiply_accumulates_are_those_of_torch(attention: Attention) -> None:
    from edgekit.models.timm_models import count_macs, create

    found = sum(o.macs for o in RUNTIME.describe(attention.source).operators)
    assert found == pytest.approx(
        count_macs(create("efficientvit_b0", 4), Size.square(SIZE)), rel=1e-6
    )
