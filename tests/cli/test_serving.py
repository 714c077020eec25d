"""`edgekit serve`, as a person starts and ends it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.commands import edgekit
from tests.server.samples import write_all

pytest.importorskip("uvicorn")
CHROMIUM = Path("/usr/bin/chromium")
NARROW = 390


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of its own, and its address."""
    command = [sys.executable, "-m", "edgekit", "serve", str(folder), "--port", "0", *words]
    server = subprocess.Popen(
        [*command, "--store", str(folder.parent / "store")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        told = re.search(r"http://\S+/", server.stdout.readline())
        assert told, server.communicate(timeout=10)[1]
        yield server, told[0]
    finally:
        server.kill()
        server.wait()


def test_a_port_that_is_taken_is_told_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = edgekit("serve", tmp_path, "--port", port, cwd=tmp_path, store=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"error: --host 127.0.0.1 --port {port}: it is taken"


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.name.invalid"])
def test_an_address_of_another_machine_is_told(tmp_path: Path, host: str) -> None:
    done = edgekit("serve", tmp_path, "--host", host, "--port", 0, cwd=tmp_path, store=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --host {host} --port 0: ")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = edgekit("serve", "build", cwd=tmp_path, store=tmp_path)
    assert done.returncode == 2
    assert "build: no such folder" in done.stderr


@pytest.mark.slow
def test_it_warns_where_others_reach_it_and_ends_clean(tmp_path: Path) -> None:
    with serving(write_all(tmp_path), "--host", "0.0.0.0") as (server, address):
        port = address.rstrip("/").rpartition(":")[2]
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
        assert b"photos for rpi" in page
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=20)
    assert server.returncode == 0
    assert len(told.splitlines()) == 1
    assert told.startswith("warning: 0.0.0.0 is no address of this machine alone")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")
def test_a_browser_shows_it_also_on_a_phone(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with serving(write_all(tmp_path)) as (_, address), playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        problems: list[str] = []
        page.on("console", lambda said: problems.append(said.text))
        _walk(page, address)
        assert not [line for line in problems if "Content Security Policy" in line], problems
        for path in ("", "trend", "?status=invalid", "none"):
            page.set_viewport_size({"width": NARROW, "height": 800})
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW, path
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                found = axe.run(page)
                assert not found.violations_count, found.generate_report()
        browser.close()


def _walk(page: Any, address: str) -> None:
    """As a person does: narrow the list, open a report, compare two, look at the history."""
    page.goto(address)
    page.get_by_label("recipe").select_option("photos")
    _follow(page, page.get_by_role("button", name="Show"))
    assert page.get_by_role("row").count() == 3
    _follow(page, page.get_by_role("link", name="photos for rpi", exact=True))
    assert page.locator("h1").first.inner_text().startswith("photos for rpi")
    page.goto(address)
    page.get_by_label("A: photos for rpi, photos/rpi").check()
    page.get_by_label("B: photos for x86-cpu, photos/x86-cpu").check()
    _follow(page, page.get_by_role("button", name="Compare A and B"))
    assert "8 lost, 0 won" in page.locator("body").inner_text()
    page.goto(address)
    _follow(page, page.get_by_role("link", name="history of photos for rpi"))
    assert page.get_by_role("heading", name="photos for rpi").count() == 1
    # The stylesheet has come: nothing else keeps the width.
    assert page.evaluate("getComputedStyle(document.body).maxWidth") != "none"


def _follow(page: Any, link: Any) -> None:
    """Click, and wait for the page behind it with its stylesheet: a click alone does not."""
    with page.expect_navigation():
        link.click()
