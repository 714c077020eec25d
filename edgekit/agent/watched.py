"""Run the agent's job while the device's state is watched, as its `protocol` is by itself.

    python watched.py job.json result.json

Lies beside agent.py, which works in a process of its own, undisturbed. The result has what was
seen: `before`, `watched` and `after`.
"""

from __future__ import annotations  # Python 3.9 on older boards

import json
import os
import subprocess
import sys

import agent  # type: ignore[import-not-found]


def main(job: str, result: str) -> None:
    seen = {"before": agent.state()}
    command = [sys.executable, os.path.abspath(agent.__file__), job, result]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with agent.Watch() as watch:
        for line in process.stdout:
            if line.startswith("{"):
                # Said after the warm-up: loading leaves the clocks low, and may.
                watch.phase = "timed" if json.loads(line)["stage"] == "latency" else "idle"
            sys.stdout.write(line)
            sys.stdout.flush()
        code = process.wait()
    if code:
        sys.exit(128 - code if code < 0 else code)  # as a shell names a signal
    seen.update(watched=watch.samples, after=agent.state())
    with open(result) as stream:
        found = json.load(stream)
    with open(result + ".part", "w") as stream:
        json.dump({**found, **seen}, stream)
    os.replace(result + ".part", result)


if __name__ == "__main__":
    main(*sys.argv[1:])
