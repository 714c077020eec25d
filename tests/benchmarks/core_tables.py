"""Writes edgekit/cycle_model/cores/<core>.json of out-of-order cores from LLVM's models of them.

    python tests/benchmarks/core_tables.py [--llvm /usr/lib/llvm-19/bin]

For each kind of instruction an example goes through llvm-mca, which says its micro-operations, its
latency and which units it holds. How late a sum may be given is read off a chain of sums. Needs
llvm-mca 19 (Debian: apt-get install llvm-19).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path

from edgekit.transports.emulation.cpus import CpuName

CORES: dict[CpuName, tuple[str, str]] = {
    "cortex-a72": ("cortex-a72", "AArch64SchedA57.td, by which LLVM schedules for the Cortex-A72"),
    "cortex-a76": (
        "neoverse-n1",
        "AArch64SchedNeoverseN1.td; the Neoverse N1 is an A76 for servers",
    ),
}
REORDER = 128
"""MicroOpBufferSize of both models."""
SIZED = {
    "fmla": "fmla v0.{f}, v1.{f}, v2.s[0]", "fmul": "fmul v0.{f}, v1.{f}, v2.{f}",
    "fadd": "fadd v0.{f}, v1.{f}, v2.{f}", "fdiv": "fdiv v0.{f}, v1.{f}, v2.{f}",
    "fsqrt": "fsqrt v0.{f}, v1.{f}", "fcompare": "fmax v0.{f}, v1.{f}, v2.{f}",
    "mla": "mla v0.{f}, v1.{f}, v2.{f}", "mul": "sqrdmulh v0.{f}, v1.{f}, v2.{f}",
    "absdiff_add": "saba v0.{f}, v1.{f}, v2.{f}", "add": "add v0.{f}, v1.{f}, v2.{f}",
    "logic": "and v0.{b}, v1.{b}, v2.{b}", "shift": "sshr v0.{f}, v1.{f}, #2",
    "shift_add": "ssra v0.{f}, v1.{f}, #2", "shift_register": "srshl v0.{f}, v1.{f}, v2.{f}",
    "dot": "sdot v0.{f}, v1.{b}, v2.4b[0]", "pair_add": "sadalp v0.{f}, v1.{h}",
    "convert": "scvtf v0.{f}, v1.{f}", "permute": "uzp1 v0.{f}, v1.{f}, v2.{f}",
    "table1": "tbl v0.{b}, {{v1.16b}}, v2.{b}", "table2": "tbl v0.{b}, {{v1.16b, v2.16b}}, v4.{b}",
    "table3": "tbl v0.{b}, {{v1.16b, v2.16b, v3.16b}}, v4.{b}",
    "table4": "tbl v0.{b}, {{v1.16b, v2.16b, v3.16b, v4.16b}}, v5.{b}",
}  # fmt: skip
SHAPES = {"q": {"f": "4s", "h": "8h", "b": "16b"}, "d": {"f": "2s", "h": "4h", "b": "8b"}}
PLAIN = {
    "nop": "nop", "alu": "add x0, x1, x2", "alu_shift": "add x0, x1, x2, lsl #5",
    "multiply": "madd w0, w1, w2, w3", "multiply64": "madd x0, x1, x2, x3",
    "divide": "udiv w0, w1, w2", "branch": "b.ne #8", "prefetch": "prfm pldl1keep, [x1]",
    "mlal.q": "smlal v0.4s, v1.4h, v2.4h", "mull.q": "smull v0.4s, v1.4h, v2.4h",
    "narrow": "sqxtn v0.4h, v1.4s", "across.q": "addv s0, v1.4s", "across.d": "addv h0, v1.4h",
    "move_immediate": "movi v0.4s, #0", "insert": "mov v0.s[0], v1.s[1]",
    "insert_general": "mov v0.d[1], x1", "from_general": "dup v0.4s, w1",
    "to_general": "umov w0, v1.s[0]",
    "convert_from_general": "scvtf s0, w1", "convert_to_general": "fcvtzs w0, s1",
}  # fmt: skip
MEMORY = {
    "load": "ldr x0, ", "store": "str x0, ", "vload.q": "ldr q0, ", "vload.d": "ldr d0, ",
    "vstore.q": "str q0, ", "vstore.d": "str d0, ",
}  # fmt: skip
PAIRS = {
    "load_pair64": "ldp x0, x3, ", "load_pair32": "ldp w0, w3, ", "store_pair64": "stp x0, x3, ",
    "store_pair32": "stp w0, w3, ", "vload_pair.q": "ldp q0, q2, ", "vload_pair.d": "ldp d0, d2, ",
    "vstore_pair.q": "stp q0, q2, ", "vstore_pair.d": "stp d0, d2, ",
}  # fmt: skip
STEPS = {"load_pair32": 8, "store_pair32": 8, "load_pair64": 16, "store_pair64": 16}


def examples() -> dict[str, str]:
    found = dict(PLAIN)
    for kind, text in SIZED.items():
        found |= {f"{kind}.{size}": text.format(**shape) for size, shape in SHAPES.items()}
    for kind, text in MEMORY.items():
        found |= {
            kind: text + "[x1]",
            f"{kind}+w": text + "[x1], #8",
            f"{kind}+r": text + "[x1, x2]",
        }
    for kind, text in PAIRS.items():
        step = STEPS.get(kind, 32 if kind.endswith("q") else 16)
        found |= {kind: text + "[x1]", f"{kind}+w": f"{text}[x1], #{step}"}
    for verb, name in (("load", "ld"), ("store", "st")):
        for count in range(1, 5):
            _structures(found, verb, name, count)
    return found


def _structures(found: dict[str, str], verb: str, name: str, count: int) -> None:
    def moved(kind: str, text: str, step: int) -> None:
        found[kind], found[f"{kind}+w"] = f"{text}, [x1]", f"{text}, [x1], #{step}"

    for size, shape in (("q", "16b"), ("d", "8b")):
        registers = ", ".join(f"v{i}.{shape}" for i in range(count))
        step = count * int(shape[:-1])
        moved(f"v{verb}1x{count}.{size}", f"{name}1 {{{registers}}}", step)
        if count > 1:
            moved(f"v{verb}{count}x{count}.{size}", f"{name}{count} {{{registers}}}", step)
    lanes = ", ".join(f"v{i}.s" for i in range(count))
    moved(f"v{verb}_lane{count}", f"{name}{count} {{{lanes}}}[1]", 4 * count)
    if verb == "load":
        registers = ", ".join(f"v{i}.4s" for i in range(count))
        moved(f"vload_all{count}", f"ld{count}r {{{registers}}}", 4 * count)


class Model:
    """llvm-mca for one core."""

    def __init__(self, folder: Path, cpu: str) -> None:
        self.command = [str(folder / "llvm-mca"), "-mtriple=aarch64", f"-mcpu={cpu}", "-mattr=+all"]

    def ask(self, text: str, *options: str) -> str:
        done = subprocess.run(
            [*self.command, *options], input=text, capture_output=True, text=True, check=True
        )
        return done.stdout

    def width(self) -> int:
        said = self.ask("nop\n", "-dispatch-stats")
        return int(re.findall(r"Dispatch Width:\s+(\d+)", said)[0])

    def table(self, found: dict[str, str]) -> dict[str, dict[str, object]]:
        said = self.ask("\n".join(found.values()) + "\n", "-instruction-tables", "-iterations=1")
        names = [m.split(".")[0] for m in re.findall(r"^\[([\d.]+)\]\s+- ", said, re.M)]
        units = re.findall(r"^\[[\d.]+\]\s+- (\S+)$", said, re.M)
        assert len(names) == len(units)
        facts = re.findall(r"^ *(\d+) +(\d+) +\d+\.\d\d ", said.split("Resources:")[0], re.M)
        held = said.split("Resource pressure by instruction:")[1].splitlines()[2:]
        rows = [line.split("\t")[0].split()[: len(units)] for line in held if line.strip()]
        assert len(facts) == len(rows) == len(found), (len(facts), len(rows), len(found))
        return {
            kind: {"uops": int(uops), "latency": int(latency), "units": _held(row, units)}
            for kind, (uops, latency), row in zip(found, facts, rows, strict=True)
        }

    def chain(self, text: str) -> int:
        """Cycles from one sum to the next that adds to it."""
        ends = []
        for runs in (100, 200):
            said = self.ask(text + "\n", f"-iterations={runs}", "-all-views=false", "-summary-view")
            ends.append(int(re.findall(r"Total Cycles:\s+(\d+)", said)[0]))
        return round((ends[1] - ends[0]) / 100)


def _held(row: list[str], units: list[str]) -> list[list[object]]:
    """[units that can each do it, cycles]: units of a kind that share a pressure form one group."""
    groups: dict[tuple[str, float], list[int]] = {}
    for index, text in enumerate(row):
        if text != "-":
            share = float(text)
            groups.setdefault((_kind(units[index], share % 1 > 0), share), []).append(index)
    return [[members, round(share * len(members))] for (_, share), members in groups.items()]


def _kind(unit: str, shared: bool) -> str:
    """X and W are the A57's vector pipes, V0 and V1 the N1's; the N1's M can do what its S do."""
    letter = unit.split("Unit")[1][0]
    return {"X": "V", "W": "V"}.get(letter, "S" if letter == "M" and shared else letter)


ADDING = ("fmla", "mla", "mlal", "dot", "pair_add", "absdiff_add", "shift_add")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llvm", type=Path, default=Path("/usr/lib/llvm-19/bin"))
    folder = Path(__file__).parents[2] / "edgekit/cycle_model/cores"
    llvm = parser.parse_args().llvm
    for core, (cpu, source) in CORES.items():
        model, found = Model(llvm, cpu), examples()
        table = model.table(found)
        for kind, text in found.items():
            if kind.split(".")[0] in ADDING:
                table[kind]["accumulate"] = model.chain(text)
        said = model.ask("nop\n", "--version")
        version = re.findall(r"LLVM version (\S+)", said)[0]
        lines = ",\n".join(
            f"  {json.dumps(kind)}: {json.dumps(row)}" for kind, row in table.items()
        )
        head = {
            "source": f"LLVM {version}, {source}; written by tests/benchmarks/core_tables.py",
            "width": model.width(),
            "reorder": REORDER,
        }
        text = json.dumps(head)[:-1] + ', "kinds": {\n' + lines + "\n}}\n"
        (folder / f"{core}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
