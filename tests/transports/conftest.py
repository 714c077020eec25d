"""Ways that can run here: `<name>_way` is a transport of that name, not open yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.transports.adb import Adb
from edgekit.transports.emulated import Emulated
from edgekit.transports.fake import Fake
from edgekit.transports.local import Local
from edgekit.transports.ssh import Ssh
from tests.adbd import adb_server, phone
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


@pytest.fixture
def adb_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adb]:
    with adb_server(tmp_path, monkeypatch), phone(tmp_path, "shell_v2") as device:
        yield Adb(serial=device.serial, home=str(tmp_path / "phone"))
