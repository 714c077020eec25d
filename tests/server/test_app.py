"""The server's answers: read-only, below its folder, escaped, for its own names alone."""

from __future__ import annotations

import os
import re
import socket
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given

from edgekit.comparison.locate import read_device_report
from edgekit.history.recording import record_device_report
from edgekit.server.hosts import is_loopback, names_of
from tests.mutations import damaged_text, fuzz
from tests.server.samples import NASTY, write_all

if TYPE_CHECKING:
    from starlette.testclient import TestClient

pytest.importorskip("starlette")
pytest.importorskip("httpx2")
REPORT = "/files/photos/rpi/report.html"
PAGES = ("/", "/trend", "/style.css", "/compare?a=photos/rpi&b=photos/x86-cpu", REPORT, "/none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def client(folder: Path) -> TestClient:
    return client_of(folder)


def client_of(folder: Path, host: str = "127.0.0.1") -> TestClient:
    from starlette.testclient import TestClient

    from edgekit.server.app import make_app

    app = make_app(folder, folder.parent / "store", names_of(host))
    return TestClient(app, base_url="http://127.0.0.1:8000", follow_redirects=False)


def test_the_list_links_every_report(client: TestClient) -> None:
    page = client.get("/").text
    links = re.findall(r'href="(/files/[^"]+)"', page)
    assert len(links) == 4
    for link in links:
        assert client.get(link).status_code == 200
    assert ">processes differ<" in page
    assert page.count('class="status invalid"') == 1


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("recipe=photos", 2), ("recipe=photos&target=rpi", 1), ("status=invalid", 1),
        ("status=passed&target=rpi", 2), ("recipe=nothing", 0), ("wat=1", 5),
    ],
)  # fmt: skip
def test_the_list_is_narrowed(client: TestClient, query: str, shown: int) -> None:
    assert client.get(f"/?{query}").text.count('type="radio" name="a"') == shown


def test_two_builds_are_compared_on_the_same_images(client: TestClient) -> None:
    answer = client.get("/compare?a=photos/rpi&b=photos/x86-cpu")
    assert answer.status_code == 200
    assert 'class="worse">worse' in answer.text
    assert "8 lost, 0 won" in answer.text


def test_nobody_reads_where_the_folder_lies(client: TestClient, folder: Path) -> None:
    for path in PAGES:
        assert str(folder) not in client.get(path).text
    refused = client.get("/compare?a=photos/rpi&b=devices/pi5/good")
    assert refused.status_code == 422
    assert "tell different classes apart" in refused.text
    assert str(folder) not in refused.text


def test_nothing_is_compared_with_itself(client: TestClient) -> None:
    answer = client.get("/compare?a=photos/rpi&b=photos/rpi")
    assert answer.status_code == 400
    assert "choose two" in answer.text


@pytest.mark.parametrize("query", ["", "a=photos/rpi", "a=photos/rpi&b=../store", "a=/etc&b=/etc"])
def test_what_is_not_in_the_list_is_not_compared(client: TestClient, query: str) -> None:
    assert client.get(f"/compare?{query}").status_code == 404


def test_the_trend_comes_from_the_history(client: TestClient) -> None:
    page = client.get("/trend?recipe=photos&target=rpi").text
    assert page.count("<h2 ") == 1
    assert "photos for rpi" in page
    assert "cannot tell" in page
    assert page.count("<polyline") == 3
    assert "012345678" in page
    assert "median ms" not in page
    assert "Nothing of it is recorded" in client.get("/trend?recipe=other").text


def test_a_row_without_a_figure_leaves_a_gap_in_its_line(tmp_path: Path) -> None:
    folder = write_all(tmp_path)
    for name in ("good", "good", "drifted", "good", "good"):
        path = folder / "devices/pi5" / name / "device-report.json"
        record_device_report(tmp_path / "store", read_device_report(path), path)
    page = client_of(folder).get("/trend").text
    drawing = page.split("<figcaption>median ms")[1].split("</figure>")[0]
    assert drawing.count("<polyline") == 2
    assert drawing.count("<circle") == 4
    assert "row 3" not in drawing


def test_a_device_tells_milliseconds(tmp_path: Path) -> None:
    folder = write_all(tmp_path)
    for name in ("good", "drifted"):
        path = folder / "devices/pi5" / name / "device-report.json"
        record_device_report(tmp_path / "store", read_device_report(path), path)
    client = client_of(folder)
    page = client.get("/trend").text
    assert page.count('data-label="median ms"') == 2
    assert re.search(r'data-label="median ms">10\.\d\d', page)
    assert re.search(r'data-label="median ms">—', page)


@pytest.mark.parametrize(
    "path",
    [
        "../store/history.sqlite", "..%2f..%2fetc%2fpasswd", "%2e%2e/store/history.sqlite",
        "/etc/passwd", "photos/rpi/report.json", "photos/rpi/onnxruntime/model.onnx",
        "photos/rpi/../../../store", "photos/rpi/report.html%00", "photos\\rpi\\report.html",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(client: TestClient, path: str) -> None:
    assert client.get(f"/files/{path}").status_code == 404


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder = write_all(tmp_path)
    client = client_of(folder)
    page = folder / "photos/rpi/report.html"
    page.unlink()
    page.symlink_to(tmp_path / "store/history.sqlite")
    assert client.get(REPORT).status_code == 404
    variant = folder / "photos/rpi/onnxruntime"
    variant.rename(tmp_path / "moved")
    for target in (tmp_path / "moved", variant, tmp_path / "nowhere"):  # the second leads to itself
        variant.symlink_to(target)
        answer = client.get("/compare?a=photos/rpi&b=photos/x86-cpu")
        assert answer.status_code == 403
        assert "links are not followed" in answer.text
        variant.unlink()


@pytest.mark.parametrize("name", [b"caf\xe9", b"line\nbreak", b"100% ?#&+", "ä 雪".encode()])
def test_any_name_of_a_folder_is_listed_and_leads_to_its_report(
    tmp_path: Path, name: bytes
) -> None:
    folder = write_all(tmp_path)
    (folder / "photos").rename(folder / os.fsdecode(name))
    client = client_of(folder)
    page = client.get("/")
    assert page.status_code == 200
    assert "cannot be read" not in page.text
    links = re.findall(r'href="(/files/[^"]+/rpi/report\.html)"', page.text)
    assert len(links) == 1
    assert client.get(links[0]).status_code == 200
    first, second = (
        str(attrs["value"])
        for tag, attrs in Tags(page.text).found
        if tag == "input" and attrs["name"] == "a" and str(attrs["value"]).endswith(("/rpi", "cpu"))
        and "nasty" not in str(attrs["value"])
    )  # fmt: skip
    assert client.get("/compare", params={"a": first, "b": second}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_it_only_reads(client: TestClient, method: str) -> None:
    for path in PAGES[:-1]:
        assert client.request(method, path).status_code == 405


def test_a_head_has_no_body(client: TestClient) -> None:
    assert client.head("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil"])
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 400
    assert "nosniff" in answer.headers["x-content-type-options"]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:1", "[::1]:8000", "LOCALHOST"])
def test_its_own_names_are_not(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


def test_every_answer_forbids_what_it_does_not_need(client: TestClient) -> None:
    for path in PAGES:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers


def test_reports_are_in_a_sandbox(client: TestClient) -> None:
    for path in (REPORT, "/compare?a=photos/rpi&b=photos/x86-cpu"):
        policy = client.get(path).headers["content-security-policy"].split("; ")
        assert policy[0] == "sandbox"  # and allows nothing back
    assert "sandbox" not in client.get("/").headers["content-security-policy"]


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("path", ["/", "/trend", f"/?recipe={NASTY}", f"/{NASTY}"])
def test_names_are_text(client: TestClient, path: str) -> None:
    tags = Tags(client.get(path).text).found
    assert not {"img", "script", "style"} & {tag for tag, _ in tags}
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]


def test_nothing_comes_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/trend"):
        for tag, attrs in Tags(client.get(path).text).found:
            for name in ("src", "href", "action"):
                value = attrs.get(name)
                assert value is None or value.startswith(("/", "#")), (tag, value)


def test_tables_and_fields_have_names(client: TestClient) -> None:
    for path in ("/", "/trend"):
        page = client.get(path).text
        tags = Tags(page).found
        assert all("scope" in attrs for tag, attrs in tags if tag == "th")
        assert [tag for tag, _ in tags].count("h1") == 1
        assert page.count("<caption") == page.count("<table")
        fields = sum(tag in ("select", "input") for tag, _ in tags)
        assert fields == page.count("<label")


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    client = client_of(tmp_path)
    assert "edgekit build" in client.get("/").text
    assert "Nothing of it is recorded" in client.get("/trend").text


def test_a_damaged_history_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "build"
    folder.mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store/history.sqlite").write_text("no database" * 100)
    answer = client_of(folder).get("/trend")
    assert answer.status_code == 422
    assert "history.sqlite is damaged" in answer.text
    assert str(tmp_path) not in answer.text


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("pi", False)],
)
def test_which_addresses_others_reach(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
    assert names_of(host).allow("localhost:8000")
    assert not names_of(host).allow("192.168.0.7:8000") or host == "0.0.0.0"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_on_every_address_any_address_is_taken_and_no_strangers_name(
    folder: Path, host: str
) -> None:
    client = client_of(folder, host)
    for own in ("192.168.0.7:8000", "[fe80::1]:8000", "127.0.0.1", socket.gethostname()):
        assert client.get("/", headers={"host": own}).status_code == 200, own
    for other in ("evil.example", "192.168.0.7.evil.example", "192.168.0.7@evil", "[evil]", ""):
        assert client.get("/", headers={"host": other}).status_code == 400, other


@fuzz
@given(text=damaged_text("recipe=photos&target=rpi&status=passed&a=photos/rpi&b=photos/none"))
def test_a_damaged_query_is_answered(client: TestClient, text: str) -> None:
    query = quote(text, safe="=&", errors="surrogatepass")
    assert client.get(f"/?{query}").status_code == 200
    assert client.get(f"/trend?{query}").status_code == 200
    assert client.get(f"/compare?{query}").status_code in (200, 400, 404, 422)
    assert client.get(f"/files/{query}").status_code == 404
