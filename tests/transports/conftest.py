"""Ways that can run here: `<name>_way` is a transport of that name, not open yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.transports.fake import Fake
from edgekit.transports.local import Local
from edgekit.transports.ssh import Ssh
from edgekit.transports.emulated import Emulated
from tests.emulated import emulated
from tests.sshd import Sshd


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def ssh_way(sshd: Sshd) -> Ssh:
    return sshd.way()


@pytest.fixture
def local_way() -> Local:
    return Local()


@pytest.fixture
def fake_way(tmp_path: Path) -> Fake:
    return Fake(root=str(tmp_path / "device"))


@pytest.fixture
def emulated_way() -> Emulated:
    return emulated("cortex-a76")
