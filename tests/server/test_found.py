"""What is found below a folder, and what is left alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edgekit.server import found as module
from edgekit.server.found import find, find_at
from tests.server.samples import write_all


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_all(tmp_path)


def test_builds_and_runs_are_found_by_their_reports(folder: Path) -> None:
    found = find(folder)
    assert {item.path for item in found.items} == {
        "photos/rpi", "photos/x86-cpu", "nasty/rpi", "devices/pi5/good", "devices/pi5/drifted",
    }  # fmt: skip
    assert set(found.pages) == {
        "photos/rpi/report.html", "photos/x86-cpu/report.html",
        "devices/pi5/good/device-report.html", "devices/pi5/drifted/device-report.html",
    }  # fmt: skip
    assert not found.unreadable
    assert found.is_whole


def test_what_a_build_did_on_a_device_is_a_page_and_no_item(folder: Path) -> None:
    (folder / "photos/rpi/on-device").mkdir()
    (folder / "devices/pi5/good").rename(folder / "photos/rpi/on-device/litert-export")
    found = find(folder)
    assert "photos/rpi/on-device/litert-export/device-report.html" in found.pages
    assert "photos/rpi/on-device/litert-export" not in {item.path for item in found.items}


def test_the_folder_itself_may_be_a_build(folder: Path) -> None:
    found = find(folder / "photos/rpi")
    assert [item.path for item in found.items] == ["."]
    assert set(found.pages) == {"report.html"}


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    other = write_all(tmp_path / "elsewhere")
    (folder / "linked").symlink_to(other)
    (folder / "one").mkdir()
    (folder / "one/report.json").symlink_to(other / "photos/rpi/report.json")
    page = folder / "photos/rpi/report.html"
    page.unlink()
    page.symlink_to("/etc/passwd")
    found = find(folder)
    assert len(found.items) == 5
    assert "photos/rpi/report.html" not in found.pages


def test_a_damaged_report_is_told_and_another_tools_is_not(folder: Path) -> None:
    report = folder / "photos/rpi/report.json"
    report.write_text(report.read_text().replace('"status":"passed"', '"status":"wat"'))
    (folder / "devices/pi5/good/device-report.json").write_text("{")
    (folder / "coverage").mkdir()
    (folder / "coverage/report.json").write_text('{"lines": 3}')
    os.mkfifo(folder / "coverage/device-report.json")
    found = find(folder)
    assert set(found.unreadable) == {
        "photos/rpi/report.json", "devices/pi5/good/device-report.json",
    }  # fmt: skip
    assert str(folder) not in "".join(found.unreadable.values())


def test_a_report_that_was_written_anew_is_read_anew(folder: Path) -> None:
    find(folder)
    report = folder / "photos/rpi/report.json"
    report.write_text(report.read_text().replace('"status":"passed"', '"status":"broken"'))
    item = find(folder).item("photos/rpi")
    assert item
    assert item.entry.status == "broken"


def test_what_is_shown_raises_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("\ud800 is no text")

    monkeypatch.setattr(module, "of_device_report", refuse)
    found = find(folder)
    assert found.unreadable["devices/pi5/good/device-report.json"] == r"\ud800 is no text"
    assert len(found.items) == 3


def test_a_foreign_report_is_parsed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "coverage").mkdir()
    (folder / "coverage/report.json").write_text('{"lines": 3}')
    find(folder)
    monkeypatch.setattr(module, "read_report", lambda _: pytest.fail("read again"))
    assert not find(folder).unreadable


def test_one_folder_is_found_without_a_look_at_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = find(folder)
    monkeypatch.setattr("os.walk", lambda *_: pytest.fail("walked"))
    for item in whole.items:
        assert find_at(folder, item.path).items == [item]
    one = find_at(folder, "photos/rpi")
    assert one.pages == {"photos/rpi/report.html": whole.pages["photos/rpi/report.html"]}
    assert [item.path for item in find_at(folder / "photos/rpi", ".").items] == ["."]


@pytest.mark.parametrize(
    "path", ["", "..", "../build/photos/rpi", "photos/./rpi", "photos//rpi", "/photos/rpi",
             "photos/rpi/", ".hidden", "linked", "photos/rpi/report.json", "photos/rpi\0"],
)  # fmt: skip
def test_no_other_folder_is_found(folder: Path, path: str) -> None:
    shutil.copytree(folder / "photos/rpi", folder / ".hidden")
    (folder / "linked").symlink_to(folder / ".hidden")
    assert find_at(folder, path) == module.Found()


def test_there_is_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FOLDERS", 2)
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    found = find(folder)
    assert not found.is_whole
    monkeypatch.setattr(module, "MAX_FOLDERS", 100)
    assert "at most 10 are read" in find(folder).unreadable["photos/rpi/report.json"]
