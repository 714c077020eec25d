"""Over a real server on loopback: who is let in, and what a broken connection is called."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.errors import DeviceError, Fault
from edgekit.transports import ssh
from edgekit.transports._ssh_faults import explain
from edgekit.transports.ssh import Ssh
from tests.sshd import HOST, Sshd


def refused(way: Ssh) -> DeviceError:
    with pytest.raises(DeviceError) as raised, way:
        pass
    assert way._folder is None, "nothing is left of a way that did not open"
    return raised.value


def test_an_unknown_host_key_is_refused(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    error = refused(sshd.way())
    assert error.fault is Fault.UNKNOWN_HOST_KEY
    assert "--accept-new-host-key" in str(error.hint)
    assert "ssh -o StrictHostKeyChecking=accept-new" in str(error.hint), "for one that was added"
    assert sshd.known_hosts.read_text() == ""


def test_an_unknown_host_key_is_taken_where_the_user_says_so(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    way = sshd.way(accept_new_host_key=True)
    with way:
        assert way.run("echo in").out == "in\n"
    assert "accept_new_host_key" not in way.model_dump()
    with sshd.way() as known:
        assert known.run("echo in").out == "in\n"


@pytest.mark.parametrize("accept_new", [False, True])
def test_a_changed_host_key_is_always_refused(sshd: Sshd, accept_new: bool) -> None:
    sshd.know("stranger")
    error = refused(sshd.way(accept_new_host_key=accept_new))
    assert error.fault is Fault.CHANGED_HOST_KEY
    assert "ssh-keygen" in str(error.hint)
    assert str(sshd.known_hosts) in str(error.hint)


def test_a_wrong_key_is_permission_denied(sshd: Sshd) -> None:
    (sshd.folder / "authorized_keys").write_text((sshd.folder / "stranger.pub").read_text())
    error = refused(sshd.way())
    assert error.fault is Fault.PERMISSION_DENIED
    assert f"ssh-copy-id -F {sshd.config} {HOST}" in str(error.hint)


def test_a_key_of_the_entry_s_own(sshd: Sshd) -> None:
    (sshd.folder / "authorized_keys").write_text((sshd.folder / "stranger.pub").read_text())
    with sshd.way(identity=str(sshd.folder / "stranger")) as way:
        assert way.run("echo in").out == "in\n"


def test_nobody_listens(sshd: Sshd) -> None:
    sshd.cut()
    error = refused(sshd.way())
    assert error.fault is Fault.REFUSED
    assert "systemctl" in str(error.hint)


def test_no_such_name() -> None:
    assert refused(Ssh(host="no-such-host.invalid")).fault is Fault.UNREACHABLE


def test_a_server_that_says_nothing(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.transports.ssh.CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert refused(sshd.way(port=port)).fault is Fault.NO_ANSWER


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    error = refused(Ssh(host="pi", config=str(tmp_path / "none")))
    assert "none" in error.message


def test_what_a_person_s_sessions_want_does_not_disturb(sshd: Sshd) -> None:
    extra = "  RemoteCommand top\n  RequestTTY force\n  LocalForward 1 127.0.0.1:1\n"
    sshd.config.write_text(sshd.config.read_text() + extra)
    with sshd.way() as way:
        assert way.run("echo calm").out == "calm\n"


def test_words_before_a_login_do_not_disturb(tmp_path: Path) -> None:
    with (
        Sshd(tmp_path / "sshd", options=f"Banner {__file__}") as server,
        server.way() as way,
    ):
        assert way.run("true").err == ""


def test_a_start_up_file_that_prints_is_named(sshd: Sshd) -> None:
    """What it prints would stand before every output, and in every file that is pulled."""
    (sshd.home / ".bashrc").write_text("echo 'Welcome!'\n")
    error = refused(sshd.way())
    assert "prints 'Welcome!'" in error.message
    assert ".bashrc" in str(error.hint)


def test_a_start_up_file_that_execs_another_shell_is_told_in_seconds(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That shell reads what it should run from the connection, which says nothing."""
    monkeypatch.setattr(ssh, "SHELL_SECONDS", 0.5)
    (sshd.home / ".bashrc").write_text("exec sh\n")
    error = refused(sshd.way())
    assert "execs another shell" in error.message
    assert f"ssh -F {sshd.config} {HOST} true" in str(error.hint)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["fish", "zsh"])
def test_another_login_shell(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is missing: apt-get install {shell}")
    forced = f'ForceCommand {shutil.which(shell)} -c "$SSH_ORIGINAL_COMMAND"'
    words = "it's \\'\\\\' $HOME `echo x` $(echo y) ! ~ * \\n"
    (tmp_path / "odd").write_bytes(bytes(range(256)))
    with Sshd(tmp_path / "sshd", options=forced) as server, server.way() as way:
        assert way.run(f"printf '%s' {shlex.quote(words)}").out == words
        way.push(tmp_path / "odd", str(tmp_path / "a 'b'"))
        assert (tmp_path / "a 'b'").read_bytes() == bytes(range(256))
        assert way.run("for i in 1 2; do echo $i; done; exit 3").code == 3


def test_what_ran_on_as_the_connection_broke_is_ended_by_the_next_one(sshd: Sshd) -> None:
    pid = sshd.home / "pid"
    with sshd.way() as way, ThreadPoolExecutor(1) as pool:
        lost = pool.submit(way.run, f"echo $$ > {pid}; exec sleep 300", timeout=None)
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
        runs = Path(f"/proc/{pid.read_text().strip()}/cmdline")
        while "sleep\0" not in runs.read_text():  # the shell has yet to become it
            time.sleep(0.01)
        sshd.cut()
        with pytest.raises(DeviceError):
            lost.result()
        assert "sleep" in runs.read_text()
        sshd.start()
        way.open()
        assert not runs.exists() or not runs.read_text()


def test_the_server_is_killed_in_the_middle_of_a_push(sshd: Sshd, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(2_000_000_000)
    target = sshd.home / "big.part"

    def kill() -> None:
        while not (target.exists() and target.stat().st_size):
            time.sleep(0.005)
        sshd.cut()

    with sshd.way() as way:
        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(DeviceError) as raised:
            way.push(big, str(target))
        killer.join()
        assert raised.value.fault is Fault.CONNECTION_LOST
        assert target.stat().st_size < big.stat().st_size
        with pytest.raises(DeviceError) as raised:
            way.run("echo nobody")
        assert raised.value.fault is Fault.CONNECTION_LOST
        sshd.start()
        way.open()
        assert way.run("echo again").out == "again\n"


def test_a_lost_master_is_never_replaced_silently(sshd: Sshd) -> None:
    with sshd.way() as way:
        assert way._master
        way._master.kill()
        way._master.wait()
        with pytest.raises(DeviceError) as raised:
            way.run("echo anew")
        assert raised.value.fault is Fault.CONNECTION_LOST


def test_the_end_too_goes_by_the_entry_s_configuration(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ssh -O exit` would read ~/.ssh/config otherwise, whatever stands in it."""
    called: list[list[str]] = []
    really = subprocess.run

    def run(words: list[str], **options: Any) -> Any:
        called.append(words)
        return really(words, **options)

    with sshd.way():
        monkeypatch.setattr(subprocess, "run", run)
    (words,) = (words for words in called if "exit" in words)
    assert words[words.index("-F") + 1] == str(sshd.config)


def test_nothing_is_left_after_close(sshd: Sshd) -> None:
    with sshd.way() as way:
        master, folder = way._master, way._folder
        assert master
        assert folder
        assert folder.stat().st_mode & 0o077 == 0
        assert master.poll() is None
    assert master.poll() is not None
    assert not folder.exists()
    with pytest.raises(DeviceError) as raised:
        way.run("true")
    assert raised.value.fault is Fault.CONNECTION_LOST


def test_a_long_temporary_folder(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with sshd.way() as way:
        assert way.run("echo short").out == "short\n"


def test_a_full_device(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100_000))
    with sshd.way() as way, pytest.raises(DeviceError) as raised:
        way.push(tmp_path / "file", "/dev/full")
    assert raised.value.fault is Fault.FULL


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "", "a b", "--"])
def test_a_host_is_never_an_option(host: str) -> None:
    with pytest.raises(ValidationError):
        Ssh(host=host)


# Words of OpenSSH 8.4 to 9.9.
@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("ssh: connect to host pi port 22: Connection timed out", Fault.NO_ANSWER),
        ("ssh: connect to host pi port 22: No route to host", Fault.UNREACHABLE),
        ("kex_exchange_identification: Connection closed by remote host", Fault.CONNECTION_LOST),
        ("pi@pi: Permission denied (publickey,password).", Fault.PERMISSION_DENIED),
        ("Timeout, server pi not responding.", Fault.NO_ANSWER),
        ("Permissions 0644 for 'k' are too open.\n@ UNPROTECTED PRIVATE KEY FILE! @\n"
         "pi@pi: Permission denied (publickey).", Fault.PERMISSION_DENIED),
        ("something new", Fault.UNREACHABLE),
    ],
)  # fmt: skip
def test_the_words_of_ssh(words: str, fault: Fault) -> None:
    error = explain("pi", ["pi"], words)
    assert error.fault is fault
    assert words.splitlines()[-1] in error.message
    assert error.hint


def test_words_of_the_forgotten_key_are_the_user_s_command() -> None:
    words = (
        "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n  remove with:\n"
        '  ssh-keygen -f "/h/known_hosts" -R "pi"\nHost key verification failed.'
    )
    assert 'ssh-keygen -f "/h/known_hosts" -R "pi"' in str(explain("pi", ["pi"], words).hint)
    bare = explain("pi", ["me@pi"], "Host key for pi has changed and you have requested strict")
    assert "ssh-keygen -R pi" in str(bare.hint)


def test_a_hint_reaches_the_same_device(tmp_path: Path) -> None:
    """With its port and its configuration, and not the one that ssh would take by itself."""
    way = Ssh(host="me@pi", port=2222, config="/h/my config", identity="/h/key")
    refused = explain(way.address, way.login, "Permission denied (publickey).")
    assert "ssh-copy-id -F '/h/my config' -i /h/key -p 2222 me@pi;" in str(refused.hint)
    changed = explain(way.address, way.login, "Host key for pi has changed")
    assert "ssh-keygen -R '[pi]:2222'" in str(changed.hint)


def test_jump_hosts_of_ssh_config_work(sshd: Sshd) -> None:
    text = sshd.config.read_text()
    sshd.config.write_text(f"{text}\n{text.replace(HOST, 'behind')}  ProxyJump {HOST}\n")
    # The jump host is reached by a second ssh, which reads the same file.
    with sshd.way(host="behind") as way:
        assert way.run("echo behind").out == "behind\n"


def test_what_nobody_waits_for_is_ended(sshd: Sshd) -> None:
    pids = sshd.home / "pids"
    with sshd.way() as way:
        with pytest.raises(DeviceError) as raised:
            way.run(f"sleep 4000 & echo $$ $! > {pids}; sleep 4000; true", timeout=1)
        assert raised.value.fault is Fault.NO_ANSWER
        for pid in pids.read_text().split():
            # A zombie is nobody's any more; it waits for its parent to look.
            state = way.run(f"sed 's/.*) //; s/ .*//' /proc/{pid}/stat").out.strip()
            assert state in ("", "Z")


def test_eight_devices_at_once(sshd: Sshd) -> None:
    def ask(number: int) -> str:
        with sshd.way() as way:
            return way.run(f"echo {number}").out

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [f"{number}\n" for number in range(8)]


def test_no_ssh_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(Ssh(host="pi")).fault is Fault.MISSING_PROGRAM
