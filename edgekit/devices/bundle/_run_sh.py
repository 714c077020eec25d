"""run.sh of a bundle: check and measure the model where edgekit cannot reach."""

SHOW = """\
import json, sys, time
stage, last = None, 0
for line in sys.stdin:
    try:
        message = json.loads(line)
        now = time.monotonic()
        if message["stage"] != stage or now - last > 15:
            print(message["stage"], message["done"], "of", message["total"], flush=True)
            stage, last = message["stage"], now
    except (ValueError, KeyError, TypeError):
        pass
"""
"""What the agent says, for a person: each stage as it begins, and a line in 15 seconds."""
ARCHITECTURE = """
machine=$(PYTHONDONTWRITEBYTECODE=1 "$python" -c 'import agent; print(agent.machine())')
if [ "$machine" != MACHINE ]; then
  echo "$python runs as $machine, and this bundle is for MACHINE:" >&2
  echo "run it on the device it is for, with a Python of its architecture" >&2
  exit 5
fi"""
NEEDS = """\
import json, sys, agent
for model in json.load(open("job.json"))["models"]:
    found = agent.lacking(model)
    if found:
        print("\\n".join(found), file=sys.stderr)
        sys.exit(5)
"""
"""What is missing, and what to do about it: two lines, before anything is measured."""
RUN = f"""#!/bin/sh
# Check and measure this model on this device: sh run.sh [PYTHON]
# Needs numpy and the runtime; no network, and edgekit is not needed.
set -eu
cd "$(dirname "$0")"
# Whatever fails, what lies here afterwards is no result of an earlier run.
rm -f result.json
python=${{1:-$HOME/edgekit/venv/bin/python}}
if [ ! -x "$python" ] && [ $# -eq 0 ]; then python=python3; fi
if ! sha256sum -c SHA256SUMS >/dev/null; then
  echo "a file is damaged: copy the bundle again" >&2
  exit 4
fi
if ! "$python" -c 'import numpy' 2>/dev/null; then
  echo "$python cannot import numpy, which the measurement needs" >&2
  echo "$python -m pip install numpy; or name another Python: sh run.sh PYTHON" >&2
  exit 5
fi@ARCHITECTURE@
PYTHONDONTWRITEBYTECODE=1 "$python" -c '{NEEDS}'
"$python" agent.py job.json result.json | "$python" -c '{SHOW}' >&2
if [ ! -f result.json ]; then
  echo "the run failed: there is no result" >&2
  exit 5
fi
echo "Done. At home: edgekit import $(pwd)/result.json"
"""


def run_sh(machine: str | None) -> str:
    """The script, for one architecture (aarch64) or, with None, for any."""
    check = ARCHITECTURE.replace("MACHINE", machine) if machine else ""
    return RUN.replace("@ARCHITECTURE@", check)
