from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.data.size import Size
from edgekit.errors import EdgekitError
from edgekit.models import timm_models
from edgekit.quantization import fake_quant
from edgekit.quantization.fold_batch_norm import fold_batch_norm
from edgekit.quantization.trace import trace
from edgekit.runtimes.contract.settings import CalibrationMethod

SIZE = 32


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fc(torch.relu(self.norm(self.conv(x))).mean((2, 3)))
        return scores


@pytest.fixture
def images() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(1, 3, SIZE, SIZE) for _ in range(4)]


def simulated(
    model: Any, images: list[torch.Tensor], method: CalibrationMethod = "minmax"
) -> tuple[Any, Any]:
    folded = fold_batch_norm(model, Size.square(SIZE))
    seen = trace(folded, Size.square(SIZE))
    ranges = fake_quant.observe(folded, seen, images, method)
    return folded, fake_quant.simulator(folded, seen, ranges)


def test_it_computes_what_integers_would(images: list[torch.Tensor]) -> None:
    """The same network in integer arithmetic, written out in numpy."""
    torch.manual_seed(0)
    folded, simulator = simulated(Tiny().eval(), images)
    ends = simulator.ends()
    assert list(ends) == ["image", "relu", "mean", "fc.linear"]

    def codes(x: np.ndarray[Any, Any], name: str) -> tuple[np.ndarray[Any, Any], float]:
        low, high = ends[name]
        scale = (high - low) / 255
        zero = round(-low / scale)
        return np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.int64) - zero, scale

    def integers(weight: torch.Tensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        rows = weight.detach().flatten(1).double().numpy()
        scales = np.abs(rows).max(1) / 127
        return np.rint(rows / scales[:, None]).astype(np.int64), scales

    x, x_scale = codes(images[0].double().numpy(), "image")
    patches = nn.functional.unfold(torch.from_numpy(x).double(), 3)[0].numpy().astype(np.int64)
    w, w_scale = integers(folded.conv.weight)
    sums = (w @ patches) * (w_scale * x_scale)[:, None]
    bias = folded.norm.bias.detach().double().numpy()
    y, y_scale = codes(np.maximum(sums + bias[:, None], 0), "relu")
    m, m_scale = codes((y * y_scale).mean(1), "mean")
    w, w_scale = integers(folded.fc.weight)
    scores = (w @ m) * w_scale * m_scale + folded.fc.bias.detach().double().numpy()
    s, s_scale = codes(scores, "fc.linear")
    with torch.no_grad():
        got = simulator(images[0])[0].double().numpy()
    np.testing.assert_allclose(got, s * s_scale, atol=1e-5)


def test_the_other_images_of_a_batch_change_nothing(images: list[torch.Tensor]) -> None:
    _, simulator = simulated(timm_models.create("test_efficientnet", 2), images)
    with torch.no_grad():
        alone, together = simulator(images[0]), simulator(torch.cat(images))
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=2e-2)


def test_weights_on_their_grid_stay_there(images: list[torch.Tensor]) -> None:
    folded, simulator = simulated(timm_models.create("test_efficientnet", 2), images)
    names = fake_quant.weight_names(folded, trace(folded, Size.square(SIZE)))
    kinds = (nn.Conv2d, nn.Linear)
    assert set(names) == {f"{n}.weight" for n, m in folded.named_modules() if isinstance(m, kinds)}
    with torch.no_grad():
        before = simulator(images[0])
    largest = {n: p.detach().flatten(1).abs().amax(1) for n, p in folded.named_parameters()
               if n in names}  # fmt: skip
    fake_quant.snap(folded, names)
    once = {name: p.clone() for name, p in folded.named_parameters()}
    with torch.no_grad():
        torch.testing.assert_close(simulator(images[0]), before, rtol=0, atol=0)
    fake_quant.snap(folded, names)
    for name, p in folded.named_parameters():
        assert torch.equal(p, once[name])
        if name in names:
            torch.testing.assert_close(p.detach().flatten(1).abs().amax(1), largest[name])


def test_gradients_pass_through_rounding_and_reach_the_ranges(images: list[torch.Tensor]) -> None:
    folded, simulator = simulated(Tiny().eval(), images, "mse")
    simulator(torch.cat(images)).square().sum().backward()
    assert folded.conv.weight.grad.abs().min() > 0
    assert simulator.moved.grad.abs().max() > 0
    simulator.zero_grad()
    simulator.learn_ranges = False
    simulator(torch.cat(images)).square().sum().backward()
    assert simulator.moved.grad is None


def test_training_mode_leaves_statistics_alone(images: list[torch.Tensor]) -> None:
    folded, simulator = simulated(timm_models.create("test_efficientnet", 2), images)
    simulator.train()
    state = {name: t.clone() for name, t in folded.state_dict().items()}
    simulator(torch.cat(images))
    assert all(torch.equal(t, state[name]) for name, t in folded.state_dict().items())


def test_what_is_always_zero_has_no_range(images: list[torch.Tensor]) -> None:
    model = Tiny().eval()
    nn.init.constant_(model.norm.bias, -1e3)
    folded, simulator = simulated(model, images)
    assert list(simulator.ends()) == ["image", "fc.linear"]
    with torch.no_grad():
        torch.testing.assert_close(simulator(images[0]), folded(images[0]), rtol=0.01, atol=0.01)


class Fickle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean((2, 3))
        scores: torch.Tensor = self.fc(torch.sin(x) if x.sum() > 0 else torch.cos(x))
        return scores


def test_a_network_that_goes_another_way_is_refused() -> None:
    model = Fickle().eval()
    _, simulator = simulated(model, [torch.zeros(1, 3, SIZE, SIZE)])
    with pytest.raises(EdgekitError, match="calls sin where its trace has cos"):
        simulator(torch.ones(1, 3, SIZE, SIZE))
