"""A target without a processor of its own, so that any machine may stand for it."""

from edgekit.devices.bench.timing_device import TimingDevice
from edgekit.spec.target import Target
from edgekit.transports.base import Transport

BOARD = Target(name="board", description="a board", runtimes=("onnxruntime",), cpu="any", threads=2)


def board_of(transport: Transport, target: Target = BOARD) -> TimingDevice:
    return TimingDevice("pi5", transport, target)
