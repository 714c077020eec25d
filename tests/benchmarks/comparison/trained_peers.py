"""Peers that change the network or train it: torch-pruning and PyTorch's own QAT."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.benchmarks.comparison.float_input import take_floats
from tests.benchmarks.comparison.peers import (
    BEST_HELPERS,
    Peer,
    nhwc,
    onnxruntime_best,
)
from tests.benchmarks.comparison.subjects import Given

BATCH = 32
LEARNING_RATE = 5e-4
QAT_LEARNING_RATE = 1e-4


def fit(model: Any, given: Given, epochs: int, learning_rate: float) -> None:
    """A plain training loop: AdamW, one cycle, images cropped and mirrored at random."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, TensorDataset
    from torchvision.transforms import v2

    torch.manual_seed(0)
    images, labels = map(torch.from_numpy, given.train)
    augment = v2.Compose(
        [v2.RandomCrop(given.size), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    )
    loader = DataLoader(TensorDataset(images, labels), BATCH, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, epochs=epochs, steps_per_epoch=len(loader)
    )
    for _ in range(epochs):
        for x, y in loader:
            x = torch.stack([augment(image) for image in x.permute(0, 3, 1, 2)])
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()


def prune(given: Given) -> Any:
    """https://github.com/VainF/Torch-Pruning#high-level-pruners: 30 % of the channels by the
    magnitude of their weights, rounded to multiples of 8."""
    import torch
    import torch_pruning

    model = copy.deepcopy(given.model)
    pruner = torch_pruning.pruner.BasePruner(
        model,
        torch.randn(1, 3, given.size, given.size),
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.3,
        ignored_layers=[model.get_classifier()],
        round_to=8,
    )
    pruner.step()
    return model


def torch_pruning_alone(given: Given, into: Path) -> Path:
    """Pruned as its README shows, then quantised at ONNX Runtime's best."""
    return onnxruntime_best(_with(given, prune(given)), into)


def torch_pruning_finetuned(given: Given, into: Path) -> Path:
    """Pruned, trained for four epochs more, then quantised at ONNX Runtime's best."""
    model = prune(given)
    fit(model.train(), given, epochs=1 if given.subject.quick else 4, learning_rate=LEARNING_RATE)
    return onnxruntime_best(_with(given, model.eval()), into)


def pt2e_qat(given: Given, into: Path) -> Path:
    """Three epochs, with LiteRT's quantizer: https://docs.pytorch.org/ao/stable/pt2e_quantization,
    its page on quantisation-aware training, and
    https://github.com/google-ai-edge/litert-torch/tree/main/docs/pytorch_converter#quantization."""
    import litert_torch
    import torch
    from litert_torch.quantize import pt2e_quantizer, pt2e_quantizer_utils
    from litert_torch.quantize.quant_config import QuantConfig
    from torchao.quantization import pt2e
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

    # torch.export takes modules alone by now; the quantizer's patterns are functions.
    build = pt2e_quantizer_utils._get_aten_graph_module_for_pattern
    pt2e_quantizer_utils._get_aten_graph_module_for_pattern = lambda pattern, *rest: build(
        pt2e.WrapperModule(pattern), *rest
    )
    sample = (torch.randn(2, 3, given.size, given.size),)
    batch = ({0: torch.export.Dim("batch")},)
    model = copy.deepcopy(given.model).train()
    model = torch.export.export(model, sample, dynamic_shapes=batch).module()
    config = pt2e_quantizer.get_symmetric_quantization_config(is_per_channel=True, is_qat=True)
    quantizer = pt2e_quantizer.PT2EQuantizer().set_global(config)
    model = prepare_qat_pt2e(model, quantizer)
    pt2e.move_exported_model_to_train(model)
    fit(model, given, epochs=1 if given.subject.quick else 3, learning_rate=QAT_LEARNING_RATE)
    pt2e.move_exported_model_to_eval(model)
    model = convert_pt2e(model, fold_quantize=False)
    pt2e.allow_exported_model_train_eval(model)
    litert_torch.convert(
        nhwc(model),
        (torch.zeros(1, given.size, given.size, 3),),
        quant_config=QuantConfig(pt2e_quantizer=quantizer),
    ).export(str(into / "int8.tflite"))
    return into / "int8.tflite"


def _with(given: Given, model: Any) -> Given:
    changed = replace(given)
    changed.__dict__["model"] = model  # where the cached property keeps its value
    return changed


_BEST = (onnxruntime_best, *BEST_HELPERS)
_PRUNED = ("mobilenetv3-small", "efficientnet-lite0")
TRAINED = (
    Peer(
        "torch-pruning, no recovery",
        "onnxruntime",
        torch_pruning_alone,
        (prune, *_BEST),
        "pruned",
        _PRUNED,
    ),
    Peer(
        "torch-pruning, 4 epochs",
        "onnxruntime",
        torch_pruning_finetuned,
        (prune, fit, *_BEST),
        "pruned",
        _PRUNED,
    ),
    Peer(
        "PT2E QAT, 3 epochs",
        "litert",
        pt2e_qat,
        (fit, nhwc),
        "qat",
        ("mobilenetv3-small",),
        floats=take_floats,
    ),
)
