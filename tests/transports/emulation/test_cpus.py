from pathlib import Path

import pytest

from edgekit.transports.emulation.cpus import CORES, CPU_FACTS, CPUS, CpuName, describe


@pytest.mark.parametrize("cpu", CPUS)
def test_every_core_is_described_once(cpu: CpuName, tmp_path: Path) -> None:
    describe(cpu, tmp_path)
    text = (tmp_path / "proc/cpuinfo").read_text()
    assert text.count("processor\t: ") == CORES
    assert text.count(f"CPU part\t: {CPU_FACTS[cpu].part}\n") == CORES
    system = tmp_path / "sys/devices/system/cpu"
    assert (system / "possible").read_text() == f"0-{CORES - 1}\n"
    assert {path.name for path in system.glob("cpu*")} == {f"cpu{i}" for i in range(CORES)}


def test_only_the_cortex_a76_has_int8_dot_products() -> None:
    with_them = {cpu for cpu in CPUS if "asimddp" in CPU_FACTS[cpu].features.split()}
    assert with_them == {"cortex-a76"}
