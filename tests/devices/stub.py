"""A Python that stands for a device's: it runs the agent in no time, with a given result."""

from __future__ import annotations

import json
from pathlib import Path

from edgekit.agent import agent
from edgekit.devices.bundle.bundle import Bundle

SCRIPT = """#!/bin/sh
case $1 in
  -c) uname -m ;;
  *) cp '{ready}' result.json ;;
esac
"""


def stub(bundle: Bundle, folder: Path, max_abs_diff: float = 0.0) -> Path:
    """
    Args:
        max_abs_diff: how far it is from the golden scores.
    """
    golden = {"max_abs_diff": max_abs_diff, "spread": 1.0, "same_top1": 8, "images": 8}
    ready = folder / "ready.json"
    result = {"id": bundle.id, "agent": "", "started": "", "ended": "", "golden": golden}
    machine = {"environment": agent.environment(), "board": agent.board()}
    ready.write_text(json.dumps(result | machine))
    python = folder / "python"
    python.write_text(SCRIPT.format(ready=ready))
    python.chmod(0o755)
    return python
