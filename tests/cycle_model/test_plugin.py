"""The plugin's caches against a small model of them in Python, and whose work it counts."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest

from edgekit.cycle_model import tools
from edgekit.errors import DeviceError

COMPILER = shutil.which("cc")
HARNESS = """
#include "counter.c"
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id a, on_block *b) { (void)a, (void)b; }
void qemu_plugin_register_vcpu_tb_exec_cb(struct block *a, on_run *b, int c, void *d)
{ (void)a, (void)b, (void)c, (void)d; }
void qemu_plugin_register_vcpu_syscall_cb(plugin_id a, on_call *b) { (void)a, (void)b; }
void qemu_plugin_register_vcpu_mem_cb(struct instruction *a, on_access *b, int c, int d, void *e)
{ (void)a, (void)b, (void)c, (void)d, (void)e; }
void qemu_plugin_reset(plugin_id a, void (*b)(plugin_id)) { (void)a, (void)b; }
size_t qemu_plugin_tb_n_insns(const struct block *a) { (void)a; return 0; }
uint64_t qemu_plugin_tb_vaddr(const struct block *a) { (void)a; return 0; }
struct instruction *qemu_plugin_tb_get_insn(const struct block *a, size_t b)
{ (void)a, (void)b; return 0; }
const void *qemu_plugin_insn_data(const struct instruction *a) { return a; }
unsigned qemu_plugin_mem_size_shift(access_info a) { return a >> 1; }
bool qemu_plugin_mem_is_store(access_info a) { return a & 1; }
int main(int argc, char **argv)
{
    struct info info = {"aarch64", {0, 1}};
    qemu_plugin_install(0, &info, argc - 1, argv + 1);
    Count block = {0};
    counts = &block;
    called(0, 3, GET_PRIORITY_MAX, PREPARE, 0, 0, 0, 0, 0, 0, 0);
    ran(3, &block);
    called(0, 3, GET_PRIORITY_MAX, START, 0, 0, 0, 0, 0, 0, 0);
    uint64_t address; unsigned cpu, kind;
    while (scanf("%u %" SCNu64 " %u", &cpu, &address, &kind) == 3) {
        ran(cpu, &block);
        access_memory(cpu, kind, address, NULL);
    }
    called(0, 3, GET_PRIORITY_MAX, STOP, 0, 0, 0, 0, 0, 0, 0);
    ran(3, &block);
    write_counts();
}
"""


class Caches:
    """Set-associative, LRU, inclusive; a miss goes to the next level."""

    def __init__(self, *levels: tuple[int, int]) -> None:
        self.levels = levels
        self.sets: list[list[OrderedDict[int, bool]]] = [
            [OrderedDict() for _ in range(sets)] for sets, _ in levels
        ]
        self.misses = [0] * len(levels)

    def access(self, address: int, size: int, store: bool) -> None:
        for line in range(address // 64, (address + size - 1) // 64 + 1):
            for level in range(len(self.levels)):
                if self._touch(level, line, store and level == 0):
                    break
                self.misses[level] += 1

    def _touch(self, level: int, line: int, store: bool) -> bool:
        sets, ways = self.levels[level]
        held = self.sets[level][line % sets]
        hit = line in held
        held[line] = held.pop(line, False) or store
        if len(held) > ways:
            evicted, dirty = held.popitem(last=False)
            if dirty and level + 1 < len(self.levels):
                self._touch(level + 1, evicted, True)
        return hit


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.parametrize("levels", [((4, 2),), ((4, 2), (8, 4)), ((2, 4), (8, 2), (16, 4))])
def test_it_counts_the_misses_of_a_plain_model_and_the_thread_that_made_the_marks(
    tmp_path: Path, levels: tuple[tuple[int, int], ...]
) -> None:
    (tmp_path / "counter.c").write_text(
        files("edgekit.cycle_model").joinpath("counter.c").read_text(encoding="utf-8")
    )
    (tmp_path / "harness.c").write_text(HARNESS)
    program, out = tmp_path / "harness", tmp_path / "counts.txt"
    subprocess.run(
        [str(COMPILER), "-w", str(tmp_path / "harness.c"), "-o", str(program)], check=True
    )
    source, caches, lines = random.Random(1), Caches(*levels), []
    for _ in range(4000):
        address = source.choice([source.randrange(4096), source.randrange(65536)])
        shift, store = source.randrange(5), source.random() < 0.3
        cpu = source.choice([3, 3, 4])
        if cpu == 3:
            caches.access(address, 1 << shift, store)
        lines.append(f"{cpu} {address} {shift << 1 | store}")
    options = [f"cache={sets}:{ways}" for sets, ways in levels]
    subprocess.run(
        [str(program), f"out={out}", *options], input="\n".join(lines), text=True, check=True
    )
    said = [line.split() for line in out.read_text().splitlines()]
    assert [int(fields[2]) for fields in said if fields[0] == "cache"] == caches.misses
    own = sum(line.startswith("3 ") for line in lines)
    assert ["accesses", str(own)] in said
    assert ["block", "0", "0", str(own)] in [fields for fields in said if fields[0] == "block"]


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_threads_that_compile_it_at_once_do_not_take_it_from_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(tools.plugin, str(COMPILER), tmp_path) for _ in range(4)]
        assert len({one.result() for one in found}) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_it_is_compiled_once(tmp_path: Path) -> None:
    first = tools.plugin(str(COMPILER), tmp_path)
    assert first.stat().st_size > 0
    assert tools.plugin("/no/compiler", tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_what_is_missing_is_named_with_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, **_: None)
    with pytest.raises(DeviceError) as caught:
        tools.find_tools()
    assert "qemu-user, gcc" in caught.value.message
    assert "apt-get install qemu-user gcc libc6-dev" in str(caught.value.hint)


def test_a_qemu_without_plugins_is_no_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    qemu = tmp_path / "qemu-aarch64"
    qemu.write_text("#!/bin/sh\necho no such option\n")
    qemu.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name, **_: str(qemu))
    monkeypatch.setattr(tools, "missing_tools", list)
    with pytest.raises(DeviceError, match="takes no plugins"):
        tools.find_tools()
