"""The server of the tests, where tests run in several processes."""

from pathlib import Path

import pytest

from tests import sshd


def test_it_takes_another_port_where_one_was_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sshd.Sshd(tmp_path / "first") as first:
        ports = iter([first.port, sshd._free_port()])
        monkeypatch.setattr(sshd, "_free_port", lambda: next(ports))
        with sshd.Sshd(tmp_path / "second") as second, second.way() as way:
            assert second.port != first.port
            assert way.run("echo $HOME").out.strip() == str(second.home)
