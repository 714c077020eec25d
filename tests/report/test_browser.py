"""The pages in a browser: nothing leaves them, everybody can use them, and they fit a phone and
paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.report.render import render_html
from tests.model_search.hostile import write_search_pages
from tests.report.answers import answered
from tests.report.hostile import write_pages

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright comes with [test]")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe: [test]")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
WIDTHS = (390, 768, 1280)
LIMIT = 2_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
of_a_build = pytest.mark.parametrize("name", ["report"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return write_pages(folder) | write_search_pages(folder)


@pytest.fixture(params=["report", "compare", "device", "comparison", "matrix", "search", "sweep"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(pages: dict[str, Path], name: str) -> Path:
    return pages[name]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def seen() -> list[str]:
    """What the page asked for, and what the console said."""
    return []


@pytest.fixture(params=["light", "dark"])
def page(
    browser: Browser, path: Path, seen: list[str], request: pytest.FixtureRequest
) -> Iterator[Page]:
    opened = browser.new_page(color_scheme=request.param)
    opened.on("console", lambda message: seen.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: seen.append(f"error: {error}"))
    opened.on("dialog", lambda dialog: seen.append(f"dialog: {dialog.message}"))
    opened.on("request", lambda asked: seen.append(asked.url[:200]))
    opened.goto(path.as_uri())
    # The stylesheet has come: nothing else keeps the width.
    sync_api.expect(opened.locator("body")).not_to_have_css("max-width", "none")
    yield opened
    opened.close()


def test_nothing_leaves_the_page_and_nothing_in_it_runs(
    page: Page, seen: list[str], path: Path
) -> None:
    asked = [line for line in seen if not line.startswith("data:image/jpeg;base64,")]
    assert asked == [path.as_uri()]
    assert page.locator("script").count() == 0
    assert page.locator("img[onerror]").count() == 0
    assert path.stat().st_size < LIMIT


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_no_wider_than_its_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@of_a_build
def test_the_first_table_of_a_build_needs_no_scrolling(page: Page) -> None:
    page.set_viewport_size({"width": WIDTHS[0], "height": 844})
    first = page.locator("table").first
    assert first.evaluate("t => t.scrollWidth <= t.parentElement.clientWidth")


def test_a_table_says_so_where_it_is_wider(page: Page) -> None:
    page.set_viewport_size({"width": WIDTHS[0], "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = "[...document.querySelectorAll('.scroll')].filter(d => d.scrollWidth > d.clientWidth)"
    assert page.evaluate(f"{wide}.length") > 0
    page.wait_for_function(
        "[...document.querySelectorAll('.scroll')].every(d => {"
        " const hint = getComputedStyle(d, '::before');"
        " const said = hint.content.includes('swipe sideways') && parseFloat(hint.fontSize) > 0;"
        " return said === d.scrollWidth > d.clientWidth; })"
    )


def test_the_five_answers_are_on_the_first_screen_of_a_phone(
    browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    shown = tmp_path / "plain.html"
    shown.write_text(render_html(answered([0, 1], [0, 1], [1, 1])), encoding="utf-8")
    page.goto(shown.as_uri())
    box = page.locator("dl.answers").bounding_box()
    assert box
    assert box["y"] + box["height"] <= 844
    page.close()


def test_no_serious_fault_of_accessibility(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = axe.Axe().run(page)
    grave = [
        (fault["id"], fault["nodes"][0]["html"][:200])
        for fault in found.response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert grave == []


@of_a_build
def test_a_term_is_explained_by_keyboard_and_by_finger(page: Page) -> None:
    button = page.locator("button.term").first
    button.focus()
    page.keyboard.press("Enter")
    meaning = page.locator("[popover]:popover-open")
    sync_api.expect(meaning).to_contain_text("Where a figure was seen")
    page.keyboard.press("Escape")
    sync_api.expect(meaning).to_have_count(0)
    button.click()
    sync_api.expect(meaning).to_have_count(1)


def test_on_paper_nothing_is_folded_and_no_table_is_cut(page: Page) -> None:
    page.set_viewport_size({"width": 720, "height": 1000})
    page.emulate_media(media="print")
    cut = page.evaluate(
        "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > 721)"
        ".map(t => t.textContent.slice(0, 60))"
    )
    assert cut == []
    folded = page.locator("details > :not(summary)")
    assert all(part.is_visible() for part in folded.all())
    assert page.pdf(format="A4").startswith(b"%PDF")
