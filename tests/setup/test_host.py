"""What of a machine changes results."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.runtimes import find_runtimes
from edgekit.setup import host
from edgekit.setup.host import HostFacts, host_facts, host_remarks, probe

QUIET = HostFacts(
    cpu="a processor",
    cores=4,
    int8=["avx_vnni"],
    half_floats=[],
    openvino_precision="f32",
    npu=False,
    memory_bytes=10**9,
    disk_bytes=10**10,
    disturbed=False,
    load=0.1,
)


def test_a_quiet_machine_with_int8_has_no_remarks() -> None:
    assert host_remarks(QUIET) == []


def test_what_changes_results_is_told() -> None:
    odd = {"int8": [], "openvino_precision": "bf16", "disturbed": True}
    first, second, third = host_remarks(QUIET.model_copy(update=odd))
    assert "no int8 dot products" in first
    assert "bf16" in second
    assert "disturb" in third


@pytest.mark.parametrize("module", ["openvino", "nowhere"])
def test_a_broken_openvino_is_told_and_none_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    def broken() -> str:
        raise RuntimeError("Exception from core.cpp:1:\nDevice with CPU name is not registered")

    monkeypatch.setattr(host, "find_spec", lambda name: module == name or None)
    monkeypatch.setattr(find_runtimes()["openvino"], "float_precision", broken)
    found = host_facts(tmp_path)
    assert found.openvino_precision is None
    told = [remark for remark in host_remarks(found) if "does not run here" in remark]
    assert all("CPU name is not registered" in remark for remark in told)
    assert len(told) == (module == "openvino")


def test_this_machine_has_facts(tmp_path: Path) -> None:
    found = host_facts(tmp_path / "not/there/yet")
    assert found.cores > 0
    assert found.disk_bytes > 0


def test_the_probe_is_timed_as_models_are() -> None:
    timing = probe(0.0)
    assert timing.rounds.shape == (10, 3)
    assert (timing.rounds > 0).all()
