"""A small ONNX model of one's own, and photos that it has not seen: stands for yours.

It tells discs from squares, takes RGB from 0 to 1, and is trained in seconds.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "own_data"))
from shapes import CLASSES, drawn, write_photos

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 16, 3, stride=2), torch.nn.ReLU(),
    torch.nn.Conv2d(16, 32, 3, stride=2), torch.nn.ReLU(),
    torch.nn.Conv2d(32, 32, 3, stride=2), torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    torch.nn.Linear(32, len(CLASSES)),
)  # fmt: skip
labels = np.arange(400) % 2
images = np.stack([np.asarray(drawn(CLASSES[c], 1000 + i)) for i, c in enumerate(labels)])
x, y = torch.from_numpy(images).permute(0, 3, 1, 2) / 255, torch.from_numpy(labels)
optimizer = torch.optim.Adam(net.parameters(), 3e-3)
for _ in range(30):
    for batch in torch.randperm(len(x)).split(40):
        loss = torch.nn.functional.cross_entropy(net(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
torch.onnx.export(net.eval(), (x[:1],), "model.onnx", dynamo=True, external_data=False)
write_photos(Path("photos"), 240)
