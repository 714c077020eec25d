"""edgekit's scheduler against llvm-mca, on the blocks of a real model.

    python -m tests.benchmarks.scheduler_check MODEL.tflite [MODEL.tflite ...]

Prints by how much the cycles of the blocks that have 99 % of the instructions differ, for the cores
that run out of order. Needs llvm-mc and llvm-mca 19 (Debian: apt-get install llvm-19).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from edgekit.cycle_model.blocks import Block
from edgekit.cycle_model.core_table import out_of_order_core
from edgekit.cycle_model.counting import Run, count
from edgekit.cycle_model.out_of_order import block_cycles
from edgekit.runtimes import find_runtimes
from edgekit.transports.emulation.cpus import CpuName
from tests.benchmarks.core_tables import CORES

SHARE = 0.99
FEW, MANY = 20, 60
"""Iterations between which llvm-mca's cycles are taken."""
AWAY = {"b", "bl", "ret", "br", "blr", "svc"}


def disassembled(llvm: Path, words: list[int]) -> dict[int, str]:
    text = "\n".join(" ".join(f"0x{byte:02x}" for byte in w.to_bytes(4, "little")) for w in words)
    command = [str(llvm / "llvm-mc"), "--disassemble", "-triple=aarch64", "-mattr=+all"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    lines = [line.strip() for line in done.stdout.splitlines()]
    lines = [line for line in lines if line and not line.startswith(".")]
    return {word: _placeless(line) for word, line in zip(words, lines, strict=True)}


def _placeless(line: str) -> str:
    """A jump to elsewhere would end llvm-mca's region."""
    name = line.split()[0]
    if name in AWAY:
        return "nop"
    if name.startswith("b.") or name in ("cbz", "cbnz", "tbz", "tbnz"):
        return re.sub(r"#-?\d+$", "#8", line)
    return re.sub(r"#-?\d+$", "#0", line) if name in ("adr", "adrp") else line


def foreseen(llvm: Path, cpu: str, blocks: list[list[str]]) -> list[float]:
    """Cycles of each block where it is repeated."""
    text = "".join(
        f"# LLVM-MCA-BEGIN b{i}\n" + "\n".join(block) + f"\n# LLVM-MCA-END b{i}\n"
        for i, block in enumerate(blocks)
    )
    ends = []
    for runs in (FEW, MANY):
        command = [str(llvm / "llvm-mca"), "-mtriple=aarch64", f"-mcpu={cpu}", "-mattr=+all",
                   "-skip-unsupported-instructions=lack-sched", f"-iterations={runs}",
                   "-all-views=false", "-summary-view"]  # fmt: skip
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        ends.append([int(cycles) for cycles in re.findall(r"Total Cycles:\s+(\d+)", done.stdout)])
    return [(many - few) / (MANY - FEW) for few, many in zip(*ends, strict=True)]


def difference(path: Path, core: CpuName, llvm: Path) -> float:
    """Of all cycles of a model, edgekit's less llvm-mca's, in the latter's."""
    port = find_runtimes()["litert"]().describe(path).input
    run = Run(path, "litert", port.shape, port.dtype)
    counts = count(run, core, lambda line: print(line, file=sys.stderr))
    busiest: list[tuple[Block, int]] = []
    seen = 0
    for block, times in sorted(counts.blocks.items(), key=lambda b: -b[1] * len(b[0])):
        if seen >= SHARE * counts.instructions:
            break
        busiest.append((block, times))
        seen += times * len(block)
    names = disassembled(llvm, list({word for block, _ in busiest for word in block}))
    theirs = foreseen(llvm, CORES[core][0], [[names[w] for w in block] for block, _ in busiest])
    table = out_of_order_core(core)
    total = sum(cycles * times for cycles, (_, times) in zip(theirs, busiest, strict=True))
    return sum(block_cycles(table, block) * times for block, times in busiest) / total - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--llvm", type=Path, default=Path("/usr/lib/llvm-19/bin"))
    options = parser.parse_args()
    print("| model | " + " | ".join(CORES) + " |")
    print("|---" + "|--:" * len(CORES) + "|")
    for path in options.models:
        cells = [f"{100 * difference(path, core, options.llvm):+.1f} %" for core in CORES]
        print(f"| {path.name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
