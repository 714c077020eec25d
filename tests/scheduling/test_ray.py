"""A real Ray cluster on this machine, with a token, whose nodes are killed."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.api.workers import Cluster, crew_of
from edgekit.engine.store import Store
from edgekit.errors import InputError, WorkerFailed
from edgekit.scheduling.ray_cluster import need_same_libraries
from tests.scheduling.actions import Work, step
from tests.scheduling.test_crew import until

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
HEAD = """
import sys, json
from pathlib import Path
from edgekit.api.workers import Cluster, crew_of
from edgekit.engine.executor import Executor
from edgekit.engine.store import Store
from edgekit.errors import EdgekitError
from tests.scheduling.actions import Work, step
from tests.scheduling.test_crew import Listening
root, log, address, seconds = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])
store, seen = Store(root), Listening()
trunk = step(Work("trunk", log))
arms = [step(Work(f"arm-{n}", log, seconds), trunk) for n in range(8)]
timed = step(Work("timed", log, 0.1, alone=True), trunk)
last = step(Work("last", log), timed, *arms)
try:
    with crew_of(store, Cluster(address, 2)) as crew, Executor(store, seen, crew) as executor:
        executor.perform_needed([trunk, timed, *arms, last], [last.id])
except EdgekitError as error:
    print(error.message, error.hint)
    raise SystemExit(error.exit_code)
words = store.find(last.key).file("words").read_text()
print(json.dumps([words, [line for line in seen.heard if "worker ended" in line]]))
"""


class RayCluster:
    """A head without workers, and nodes of one worker each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: list[subprocess.Popen[bytes]] = []
        (folder / "token").write_text(secrets.token_hex(32))
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }

    def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")
        for _ in range(2):
            self._start(f"--address={self.address}", "--num-cpus=1")

    def _start(self, *words: str) -> None:
        """One after the other: of two that start at once on a machine, one may be lost."""
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *words]
        said = self.folder / f"node-{len(self.nodes)}"
        with said.open("wb") as stream:
            self.nodes.append(
                subprocess.Popen(
                    [*command, "--object-store-memory=80000000", "--disable-usage-stats"],
                    env=self.environment,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                )
            )
        until(lambda: b"Ray runtime started" in said.read_bytes(), 120)

    def kill(self, number: int) -> None:
        """With all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.nodes[number].pid, signal.SIGKILL)
        self.nodes[number].wait()

    def stop(self) -> None:
        for number in reversed(range(len(self.nodes))):
            self.kill(number)
        self.nodes.clear()

    def run(self, store: Path, log: Path, seconds: float) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", HEAD, str(store), str(log), self.address, str(seconds)],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RayCluster]:
    if not shutil.which("ray", path=str(Path(sys.executable).parent)):
        pytest.skip("the program ray is missing")
    found = RayCluster(tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.stop()


WORDS = " ".join(["trunk timed", *(f"trunk arm-{n}" for n in range(8)), "last"])


def at_work(log: Path) -> int:
    """Workers that have begun a step: one here and one on each node."""
    lines = log.read_text().splitlines() if log.exists() else []
    return len({line.split()[-1] for line in lines if "begins" in line})


def test_a_killed_node_loses_nothing_and_a_dead_head_is_gone_on_from(
    tmp_path: Path, cluster: RayCluster
) -> None:
    store, log = tmp_path / "store", tmp_path / "log"
    command = cluster.run(store, log, 8.0)
    until(lambda: at_work(log) == 3, 120)
    cluster.kill(2)
    said = command.communicate(timeout=200)[0]
    assert command.returncode == 0, said
    assert WORDS in said
    assert "worker ended" in said
    assert log.read_text().count("trunk begins") == 1

    store, log = tmp_path / "other", tmp_path / "log-other"
    command = cluster.run(store, log, 60.0)
    until(lambda: at_work(log) == 2, 120)  # one of the nodes is gone
    cluster.stop()
    command.communicate(timeout=200)
    assert command.returncode != 0
    cluster.start()
    command = cluster.run(store, log, 0.0)
    said = command.communicate(timeout=200)[0]
    assert command.returncode == 0, said
    assert WORDS in said
    assert log.read_text().count("trunk begins") == 1


def test_a_stranger_without_the_token_is_not_let_in(tmp_path: Path, cluster: RayCluster) -> None:
    cluster.environment["RAY_AUTH_TOKEN_PATH"] = str(tmp_path / "stranger")
    (tmp_path / "stranger").write_text(secrets.token_hex(32))
    command = cluster.run(tmp_path / "store", tmp_path / "log", 0.0)
    said = command.communicate(timeout=100)[0]
    assert command.returncode == 5
    assert "no Ray cluster answers" in said
    assert at_work(tmp_path / "log") == 0


def test_a_cluster_that_is_open_to_all_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with (
        pytest.raises(InputError, match="anybody who reaches the cluster") as caught,
        crew_of(store, Cluster()),
    ):
        time.sleep(0)
    assert "get-auth-token" in str(caught.value.hint)


def test_a_node_with_another_torch_takes_no_step() -> None:
    planned = step(Work("word", Path("log")))
    components = {**planned.components, "libraries": {"torch": "0.1", "edgekit-vision": "absent"}}
    with pytest.raises(WorkerFailed, match=r"torch \d.* in place of 0\.1"):
        need_same_libraries(replace(planned, components=components))
    need_same_libraries(planned)
