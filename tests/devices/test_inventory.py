"""The inventory is a person's file: what they wrote stays, and their mistakes are named."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgekit.devices.inventory import (
    add_device,
    find_device,
    inventory_path,
    read_inventory,
    remove_device,
)
from edgekit.errors import ConfigError, InputError, StorageError
from edgekit.transports.local import Local
from edgekit.transports.ssh import Ssh
from tests.mutations import damaged_text, fuzz, refusals

WRITTEN = """\
# My boards
pi5:  # on the desk
  transport: ssh
  host: pi@10.0.0.5
  port: 2222
# the old one
here: {transport: local, home: /data/edgekit}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "devices.yaml"


@pytest.fixture
def written(path: Path) -> Path:
    path.parent.mkdir()
    path.write_text(WRITTEN)
    return path


def test_where_it_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("EDGEKIT_DEVICES", raising=False)
    assert inventory_path() == tmp_path / "edgekit/devices.yaml"
    monkeypatch.setenv("EDGEKIT_DEVICES", str(tmp_path / "mine.yaml"))
    assert inventory_path() == tmp_path / "mine.yaml"
    assert read_inventory() == {}


def test_reading(written: Path) -> None:
    devices = read_inventory(written)
    assert devices == {
        "pi5": Ssh(host="pi@10.0.0.5", port=2222),
        "here": Local(home="/data/edgekit"),
    }
    assert find_device("here", written) == devices["here"]
    with pytest.raises(InputError, match="did you mean 'pi5'"):
        find_device("pi4", written)


def test_every_problem_with_its_line(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(
        "a: {transport: shh, host: x}\n"
        "b:\n  transport: ssh\n  hots: pi\n  port: 99999\n"
        "c: pi@host\n"
        "d: {host: x}\n"
        "e: {transport: local, home: relative}\n"
        "e: {transport: local}\n"
        "f g: {transport: local}\n"
        "h: {transport: ssh, host: pi, password: secret}\n"
    )
    with pytest.raises(ConfigError) as raised:
        read_inventory(path)
    found = {(p.line, p.where): p.message for p in raised.value.problems}
    assert "did you mean 'ssh'" in found[1, "a.transport"]
    assert "did you mean 'host'" in found[4, "b.hots"]
    assert "required" in found[2, "b.host"]
    assert "65535" in found[5, "b.port"]
    assert "mapping" in found[6, "c"]
    assert "transport is required" in found[7, "d"]
    assert "twice" in found[9, "e"]
    assert "no name" in found[10, "f g"]
    assert "unknown key" in found[11, "h.password"]
    assert len(found) == 9


def test_a_home_must_be_absolute(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("e: {transport: local, home: relative}\n")
    with pytest.raises(ConfigError, match="an absolute path, or one under ~/"):
        read_inventory(path)


def test_adding_keeps_what_stands_there(written: Path) -> None:
    add_device("nas", Ssh(host="nas", accept_new_host_key=True), written)
    assert written.read_text() == WRITTEN + "nas: {transport: ssh, host: nas}\n"
    assert read_inventory(written)["nas"] == Ssh(host="nas")


def test_adding_the_first(path: Path) -> None:
    add_device("here", Local(), path)
    assert read_inventory(path) == {"here": Local()}
    assert path.read_text().startswith("#")


def test_adding_to_a_file_without_a_last_newline(written: Path) -> None:
    written.write_text(WRITTEN.rstrip())
    add_device("nas", Ssh(host="nas"), written)
    assert set(read_inventory(written)) == {"pi5", "here", "nas"}


@pytest.mark.parametrize("name", ["pi5", "a b", "-x", "", "ä"])
def test_names_that_cannot_be_added(written: Path, name: str) -> None:
    with pytest.raises(InputError):
        add_device(name, Local(), written)
    assert written.read_text() == WRITTEN


@pytest.mark.parametrize("name", ["on", "5", "null", "1.5", "true"])
def test_names_that_yaml_takes_for_something_else(written: Path, name: str) -> None:
    add_device(name, Local(), written)
    assert find_device(name, written) == Local()
    remove_device(name, written)
    assert written.read_text() == WRITTEN


def test_removing_leaves_all_else(written: Path) -> None:
    remove_device("pi5", written)
    assert written.read_text() == "# My boards\n# the old one\n" + WRITTEN.splitlines()[-1] + "\n"
    remove_device("here", written)
    assert read_inventory(written) == {}
    with pytest.raises(InputError, match="no device"):
        remove_device("here", written)


def test_a_faulty_entry_can_be_removed(written: Path) -> None:
    written.write_text(WRITTEN + "bad: {transport: telepathy}\n")
    remove_device("bad", written)
    assert written.read_text() == WRITTEN


@pytest.mark.parametrize("text", ["{a: {transport: local}}\n", "a: {transport: local}\n...\n"])
def test_a_file_that_does_not_go_by_lines_is_left_alone(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputError, match="line by line") as raised:
        add_device("b", Local(), path)
    assert "b: {transport: local}" in str(raised.value.hint)
    assert path.read_text() == text


def test_a_link_stays_one(written: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(written)
    add_device("nas", Ssh(host="nas"), link)
    assert link.is_symlink()
    assert "nas" in read_inventory(written)


def test_several_at_once(path: Path) -> None:
    names = [f"d{i}" for i in range(12)]
    threads = [threading.Thread(target=add_device, args=(n, Local(), path)) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_inventory(path)) == sorted(names)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    with pytest.raises(StorageError) as raised:
        add_device("a", Local(), tmp_path / "config" / "devices.yaml")
    assert "EDGEKIT_DEVICES" in str(raised.value.hint)


values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
contents = st.one_of(values, st.lists(values, max_size=3), st.dictionaries(st.text(max_size=5), values, max_size=3))  # fmt: skip  # noqa: E501


@given(
    st.dictionaries(st.from_regex(r"[a-c]{1,2}", fullmatch=True), contents, min_size=2),
    st.sampled_from([None, False, True]),
    st.data(),
)
def test_removing_changes_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    data: dict[str, Any],
    flow: bool | None,
    draw: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("inventory") / "devices.yaml"
    before = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True)
    path.write_text(before, encoding="utf-8")
    name = draw.draw(st.sampled_from(sorted(data)))
    try:
        remove_device(name, path)
    except InputError:
        assert path.read_text(encoding="utf-8") == before
        assert before.startswith("{")
    else:
        left = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        loaded = yaml.safe_load(before)  # not `data`: YAML folds some line breaks
        assert left == {other: entry for other, entry in loaded.items() if other != name}


@fuzz
@given(damaged_text(WRITTEN))
def test_any_damage_of_an_inventory(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "devices.yaml"
        path.write_bytes(text.encode(errors="surrogatepass"))
        with refusals():
            read_inventory(path)
        with refusals():
            add_device("new", Local(home="/x"), path)
        with refusals():
            remove_device("pi5", path)
