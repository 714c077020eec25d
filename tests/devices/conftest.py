"""A phone over adb, a benchmark_model and an int8 network for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit.devices.device import Device
from edgekit.transports.adb import Adb
from tests.adbd import adb_server, add_program
from tests.adbd import phone as adb_phone

FAKE = Path(__file__).parent / "fake_benchmark_model.py"
DUMPSYS = """#!/bin/sh
case $1 in
  battery) echo '  level: 81' ;;
  thermalservice) echo 'Thermal Status: 2' ;;
esac
"""


@pytest.fixture(scope="session")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tool") / "benchmark_model"
    path.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 network on uint8 images of 16x16 pixels, with int8 scores of 5 classes."""
    from edgekit.models._tensorflow import make_way

    make_way()
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    network = tf.keras.Sequential(
        [
            tf.keras.layers.Input((16, 16, 3), batch_size=1),
            tf.keras.layers.Conv2D(8, 3, activation="relu"),
            tf.keras.layers.GlobalAveragePooling2D(),
            tf.keras.layers.Dense(5),
        ]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rng = np.random.default_rng(0)
    converter.representative_dataset = lambda: (
        [rng.uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)] for _ in range(20)
    )
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.int8
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(converter.convert())
    return path


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A phone over adb, with the programs that a phone has."""
    with adb_server(tmp_path, monkeypatch), adb_phone(tmp_path) as android:
        properties = "[ro.product.model]: [Pixel 9]\\n[ro.product.cpu.abi]: [arm64-v8a]\\n"
        add_program(android, "getprop", f"#!/bin/sh\nprintf '{properties}'\n")
        add_program(android, "dumpsys", DUMPSYS)
        transport = Adb(serial=android.serial, home=str(tmp_path / "a: home"))
        with Device("phone", transport) as opened:
            yield opened
