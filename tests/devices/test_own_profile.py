"""`rpi` on a Pi 4 is a Pi 4, and a core without int8 dot product is told before it is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.api.building import prepare
from edgekit.devices.own_profile import own_profile, slow_in_int8
from edgekit.engine.observer import Silent
from edgekit.spec.target import load_target


class Remarks(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def remark(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize(
    ("named", "part", "meant"),
    [
        ("rpi", "0xd03", "rpi3"),
        ("rpi", "0xd08", "rpi4"),
        ("rpi", "0xd0b", "rpi"),
        ("rpi", None, "rpi"),
        ("rpi5", "0xd08", "rpi5"),
        ("x86-cpu", "0xd08", "x86-cpu"),
    ],
)
def test_the_family_s_name_means_the_board(named: str, part: str | None, meant: str) -> None:
    heard: list[str] = []
    assert own_profile(load_target(named), "pi", part, heard.append).name == meant
    assert len(heard) == (named != meant)


def test_which_cores_are_slow_in_int8() -> None:
    assert [name for name in ("rpi", "rpi3", "rpi4", "rpi5", "x86-cpu", "android")
            if slow_in_int8(load_target(name))] == ["rpi3", "rpi4"]  # fmt: skip


RECIPE = """\
model: {arch: test_efficientnet, weights: scratch, mean: 0.5, std: 0.5}
data: {source: imagefolder, path: images, image_size: 32}
stages: [{finetune: {epochs: 1}}, {quantize: {method: ptq, samples: 8}}, export]
allow_untrained: true
"""


def test_a_build_says_so_before_it_measures(
    images_folder: Path,
    write_recipe: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inventory = tmp_path / "devices.yaml"
    inventory.write_text("pi4: {transport: ssh, host: pi}\n")
    monkeypatch.setenv("EDGEKIT_DEVICES", str(inventory))
    monkeypatch.setattr(
        "edgekit.devices.bench.timing_device.fingerprint_of", lambda *_: {"part": "0xd08"}
    )
    watching = Remarks()
    made = prepare(
        write_recipe(RECIPE),
        "rpi",
        "pi4",
        None,
        (),
        tmp_path / "build",
        tmp_path / "store",
        watching,
    )
    (target,) = made.plan.targets
    assert target.target.name == "rpi4"
    meant, slow = watching.lines[:2]
    assert "rpi means rpi4 here: pi4 has a Cortex-A72" in meant
    assert "no int8 dot product" in slow
    assert made.plan.processors == {"rpi4": [meant, slow]}
