"""The networks of ncnn's benchmark in its own text format, layer by layer as its files have them.

After Tencent/ncnn, benchmark/models/*.param, which benchncnn loads with empty weights. What an int8
convolution writes and int8 convolutions alone read stays in int8 (8=102, 8=101).
"""

from __future__ import annotations

from collections.abc import Callable


class Network:
    """Layers in order; each method adds one and returns the name of what it makes."""

    def __init__(self, side: int, int8: bool = False) -> None:
        self.int8 = int8
        self.lines = [f"Input data 0 1 data 0={side} 1={side} 2=3"]
        self.blobs = 1

    def text(self) -> str:
        return "\n".join(["7767517", f"{len(self.lines)} {self.blobs}", *self.lines]) + "\n"

    def add(self, kind: str, inputs: list[str], *options: str, outputs: int = 1) -> list[str]:
        name = f"{kind.lower()}{len(self.lines)}"
        made = [f"{name}_{i}" for i in range(outputs)]
        self.blobs += outputs
        ports = f"{len(inputs)} {outputs} {' '.join(inputs + made)}"
        self.lines.append(f"{kind} {name} {ports} {' '.join(options)}".rstrip())
        return made

    def conv(
        self,
        source: str,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        pad: int | None = None,
        relu: bool = True,
        stays_int8: bool = False,
    ) -> str:
        pad = kernel // 2 if pad is None else pad
        options = [f"0={outputs}", f"1={kernel}", f"3={stride}", f"4={pad}", "5=1"]
        options += [f"6={inputs * outputs * kernel**2}"]
        options += ["8=102" if stays_int8 else "8=2"] if self.int8 else []
        return self.add("Convolution", [source], *options, *(["9=1"] if relu else []))[0]

    def depthwise(
        self, source: str, channels: int, stride: int = 1, kernel: int = 3, relu: bool = True
    ) -> str:
        options = [f"0={channels}", f"1={kernel}", f"3={stride}", f"4={kernel // 2}", "5=1"]
        options += [f"6={channels * kernel**2}", f"7={channels}"]
        options += ["8=101"] if self.int8 else []
        return self.add("ConvolutionDepthWise", [source], *options, *(["9=1"] if relu else []))[0]

    def split(self, source: str, ways: int) -> list[str]:
        return self.add("Split", [source], outputs=ways)

    def pool(self, source: str, kernel: int = 3, stride: int = 2, pad: int = 0) -> str:
        return self.add("Pooling", [source], f"1={kernel}", f"2={stride}", f"3={pad}")[0]

    def average(self, source: str) -> str:
        return self.add("Pooling", [source], "0=1", "4=1")[0]

    def dense(self, source: str, inputs: int) -> str:
        int8 = ["8=2"] if self.int8 else []
        (scores,) = self.add("InnerProduct", [source], "0=1000", "1=1", f"2={1000 * inputs}", *int8)
        return self.add("Softmax", [scores])[0]


def mobilenet(int8: bool) -> Network:
    net = Network(224, int8)
    x, channels = net.conv("data", 3, 32, 3, 2, stays_int8=True), 32
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for outputs, stride in [*plan, (1024, 2), (1024, 1)]:
        last = (outputs, stride) == (1024, 1)
        x = net.conv(net.depthwise(x, channels, stride), channels, outputs, stays_int8=not last)
        channels = outputs
    net.dense(net.average(x), channels)
    return net


def inverted(plan: list[tuple[int, int, int, int]], stem: tuple[int, int], add: str) -> Network:
    """Expand, depthwise, project: (channels within, channels after, kernel, stride) of each."""
    net = Network(224)
    x, channels = net.conv("data", 3, stem[0], 3, 2), stem[1]
    if add == "BinaryOp":  # no expansion before the first depthwise layer
        x = net.conv(net.depthwise(x, stem[0]), stem[0], channels, relu=False)
    else:
        x = net.conv(x, 32, 32)
        x = net.conv(net.depthwise(x, 32), 32, channels, relu=False)
    for within, outputs, kernel, stride in plan:
        adds = outputs == channels and stride == 1
        short, x = net.split(x, 2) if adds else ("", x)
        x = net.depthwise(net.conv(x, channels, within), within, stride, kernel)
        x = net.conv(x, within, outputs, relu=False)
        if adds:
            (x,) = net.add(add, [short, x], *(["0=1"] if add == "Eltwise" else []))
        channels = outputs
    net.dense(net.average(net.conv(x, channels, 1280)), 1280)
    return net


def mobilenet_v2(int8: bool) -> Network:
    plan = [(96, 24, 3, 2), (144, 24, 3, 1), (144, 32, 3, 2), *[(192, 32, 3, 1)] * 2]
    plan += [(192, 64, 3, 2), *[(384, 64, 3, 1)] * 3, (384, 96, 3, 1), *[(576, 96, 3, 1)] * 2]
    plan += [(576, 160, 3, 2), *[(960, 160, 3, 1)] * 2, (960, 320, 3, 1)]
    return inverted(plan, (32, 16), "Eltwise")


def mnasnet(int8: bool) -> Network:
    plan = [(48, 24, 3, 2), *[(72, 24, 3, 1)] * 2, (72, 40, 5, 2), *[(120, 40, 5, 1)] * 2]
    plan += [(240, 80, 5, 2), *[(480, 80, 5, 1)] * 2, (480, 96, 3, 1), (576, 96, 3, 1)]
    plan += [(576, 192, 5, 2), *[(1152, 192, 5, 1)] * 3, (1152, 320, 3, 1)]
    return inverted(plan, (32, 16), "BinaryOp")


def proxylessnasnet(int8: bool) -> Network:
    plan = [(48, 32, 5, 2), (96, 32, 3, 1), (96, 40, 7, 2), (120, 40, 3, 1), *[(120, 40, 5, 1)] * 2]
    plan += [(240, 80, 7, 2), *[(240, 80, 5, 1)] * 3, (480, 96, 5, 1), *[(288, 96, 5, 1)] * 3]
    plan += [(576, 192, 7, 2), (1152, 192, 7, 1), *[(576, 192, 7, 1)] * 2, (1152, 320, 7, 1)]
    return inverted(plan, (32, 32), "BinaryOp")


def squeezenet(int8: bool) -> Network:
    net = Network(227, int8)
    x, channels = net.pool(net.conv("data", 3, 64, 3, 2, pad=0)), 64
    for index, (squeezed, each) in enumerate(
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
    ):
        x = net.pool(x) if index in (2, 4) else x
        a, b = net.split(net.conv(x, channels, squeezed, stays_int8=True), 2)
        parts = [net.conv(b, squeezed, each), net.conv(a, squeezed, each, 3)]
        (x,), channels = net.add("Concat", parts), 2 * each
    net.add("Softmax", [net.average(net.conv(x, channels, 1000, pad=1))])
    return net


def resnet18(int8: bool) -> Network:
    net = Network(224, int8)
    x, channels = net.pool(net.conv("data", 3, 64, 7, 2)), 64
    for outputs in (64, 128, 256, 512):
        for first in (True, False):
            stride = 2 if first and outputs > 64 else 1
            short, x = net.split(x, 2)
            if first:
                short = net.conv(short, channels, outputs, stride=stride, relu=False)
            x = net.conv(x, channels, outputs, 3, stride, stays_int8=True)
            x = net.conv(x, outputs, outputs, 3, relu=False)
            (x,) = net.add("ReLU", net.add("Eltwise", [short, x], "0=1"))
            channels = outputs
    net.dense(net.add("Pooling", [x], "0=1", "1=7")[0], 512)
    return net


INCEPTIONS = [
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
]  # fmt: skip


def googlenet(int8: bool) -> Network:
    net = Network(224, int8)
    (x,) = net.add("LRN", [net.pool(net.conv("data", 3, 64, 7, 2))], "2=0.000100")
    x = net.conv(net.conv(x, 64, 64, stays_int8=True), 64, 192, 3)
    (x,) = net.add("LRN", [x], "2=0.000100")
    x, channels = net.pool(x), 192
    for index, (one, reduce3, three, reduce5, five, projected) in enumerate(INCEPTIONS):
        a, b, c, d = net.split(x, 4)
        parts = [
            net.conv(d, channels, one),
            net.conv(net.conv(c, channels, reduce3, stays_int8=True), reduce3, three, 3),
            net.conv(net.conv(b, channels, reduce5, stays_int8=True), reduce5, five, 5),
            net.conv(net.pool(a, 3, 1, 1), channels, projected),
        ]
        (x,), channels = net.add("Concat", parts), one + three + five + projected
        x = net.pool(x) if index in (1, 6) else x
    net.dense(net.add("Pooling", [x], "0=1", "1=7")[0], channels)
    return net


def shufflenet_v2(int8: bool) -> Network:
    net = Network(224)
    x, channels = net.pool(net.conv("data", 3, 24, 3, 2)), 24
    for half, repeats in ((58, 4), (116, 8), (232, 4)):
        for index in range(repeats):
            if index == 0:
                right, left = net.split(x, 2)
                left = net.conv(net.depthwise(left, channels, 2, relu=False), channels, half)
            else:
                left, right = net.add("Slice", [x], f"-23300=2,{half},-233", outputs=2)
            right = net.conv(right, half if index else channels, half)
            right = net.conv(net.depthwise(right, half, 1 if index else 2, relu=False), half, half)
            (x,) = net.add("ShuffleChannel", net.add("Concat", [left, right]), "0=2")
        channels = 2 * half
    net.dense(net.average(net.conv(x, 464, 1024)), 1024)
    return net


NETWORKS: dict[str, Callable[[bool], Network]] = {
    each.__name__: each
    for each in (mobilenet, mobilenet_v2, mnasnet, proxylessnasnet, squeezenet, resnet18, googlenet,
                 shufflenet_v2)
}  # fmt: skip


def network(name: str) -> Network:
    """By the name that ncnn's benchmark prints, e.g. `resnet18_int8`."""
    return NETWORKS[name.removesuffix("_int8")](name.endswith("_int8"))
