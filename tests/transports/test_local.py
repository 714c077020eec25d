"""This machine as a device: a model that runs on it can do no harm to it."""

from __future__ import annotations

import shlex
from pathlib import Path

from edgekit.transports.local import Local
from tests.engine.test_confined import landlock


@landlock
def test_what_runs_a_model_writes_in_its_folder_alone(tmp_path: Path) -> None:
    work = tmp_path / "my work"
    work.mkdir()
    confined = Local().confined("sh -c 'echo x > in; echo x > ../out; echo said'", str(work))
    done = Local().run(f"cd {shlex.quote(str(work))} && {confined}")
    assert (done.code, done.out) == (0, "said\n")
    assert [path.name for path in tmp_path.rglob("*")] == ["my work", "in"]
