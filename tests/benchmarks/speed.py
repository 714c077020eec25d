"""How fast edgekit itself is: a Markdown table of start-up, planning, rebuilding and overhead.

    python tests/benchmarks/speed.py

Commands run in processes of their own, the rows of a pair in turn, against a fresh store.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes/mobilenet_int8.yaml"


def plain_build(folder: Path) -> list[str]:
    """The demo, quantised once: by hand nothing is searched either."""
    text = RECIPE.read_text().replace("precision: int8", "method: ptq")
    recipe = folder / RECIPE.name
    recipe.write_text(text.replace("weights/", f"{RECIPE.parent}/weights/"))
    return ["-m", "edgekit", "build", str(recipe), "--target", "rpi"]


def seconds(words: list[str], folder: str) -> float:
    start = time.perf_counter()
    environment = {**os.environ, "EDGEKIT_STORE": f"{folder}/store"}
    subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def row(name: str, limit: str, samples: list[float]) -> None:
    low, middle, high = min(samples), statistics.median(samples), max(samples)
    print(f"| {name} | {low:.2f} | {middle:.2f} | {high:.2f} | {len(samples)} | {limit} |")


def main() -> None:
    print("| command | min s | median s | max s | runs | asked |\n|---|--:|--:|--:|--:|---|")
    with tempfile.TemporaryDirectory() as folder:
        words = plain_build(Path(folder))
        row("`edgekit --help`", "0.3 s",
            [seconds(["-m", "edgekit", "--help"], folder) for _ in range(11)])  # fmt: skip
        build = seconds(words, folder)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        plan = [word if word != "build" else "plan" for word in words]
        row("`edgekit plan`, all cached", "1 s", [seconds(plan, folder) for _ in range(11)])
        row("`edgekit build`, unchanged", "2 s", [seconds(words, folder) for _ in range(11)])
    hand = []
    builds = [build]
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            hand.append(seconds([str(Path(__file__).with_name("by_hand.py"))], folder))
            builds.append(seconds(plain_build(Path(folder)), folder))
    row("`edgekit build`, empty store", "300 s", builds)
    row("the same by hand", "", hand)
    overhead = statistics.median(builds) / statistics.median(hand) - 1
    print(f"\nOverhead of edgekit: {100 * overhead:.0f} % (asked: at most 10 %).")
    print(f"Peak memory of the largest process: {peak:.2f} GB (asked: 4 GB).")


if __name__ == "__main__":
    main()
