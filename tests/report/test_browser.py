"""The page in a browser: nothing leaves it, everybody can use it, and it fits a phone and paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgekit.build_folder.report import Report
from edgekit.evidence import Validity
from edgekit.report.render import Beside, render_html
from edgekit.report.thumbnails import thumbnail
from tests.report.answers import answered, digest_of
from tests.report.test_plots import run_on_device
from tests.report.test_summary import on_device

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright comes with [test]")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe: [test]")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
WIDTHS = (390, 768, 1280)
FORGED = "\"><img src=x onerror=alert(1)> 'שלום' \x1b[31m \u202e<script>alert(2)</script>"
LIMIT = 2_000_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


def forged() -> Report:
    """200 classes and 5,000 images, a tenth of which flip, under names that are no names."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 200, 5000)
    flips = rng.random(5000) < 0.1
    after = np.where(flips, rng.integers(0, 200, 5000), labels)
    report = answered(
        labels.tolist(),
        labels.tolist(),
        after.tolist(),
        rng.uniform(0.3, 1, 5000).round(3).tolist(),
        classes=[f"{i} {FORGED}" for i in range(200)],
        name=f"{FORGED}/{{}}.png",
    )
    for row in report.rows:
        if row.last:
            run = on_device(Validity.OK)
            row.on_device = run.model_copy(update={"device": FORGED, "cpu": FORGED})
    return report.model_copy(update={"target_description": FORGED, "arch": FORGED})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    report = forged()
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    pictures = dict.fromkeys(map(digest_of, range(5000)), thumbnail(noise))
    beside = Beside(pictures=pictures, runs={"litert-export": run_on_device(folder)})
    (folder / "report.html").write_text(render_html(report, beside), encoding="utf-8")
    return folder / "report.html"


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
    first = page.locator("table").first
    assert first.evaluate("t => t.scrollWidth <= t.parentElement.clientWidth")


def test_a_table_that_is_wider_says_so(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    told = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(d => d.scrollWidth > d.clientWidth)"
        ".map(d => getComputedStyle(d, '::before').content)"
    )
    assert told
    assert all("swipe sideways" in words for words in told)


def test_the_five_answers_are_on_the_first_screen_of_a_phone(browser: Browser, path: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    shown = path.with_name("plain.html")
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


def test_a_term_is_explained_by_keyboard_and_by_finger(page: Page) -> None:
    button = page.locator("button.term").first
    button.focus()
    page.keyboard.press("Enter")
    meaning = page.locator("[popover]:popover-open")
    assert "Where a figure was seen" in meaning.inner_text()
    page.keyboard.press("Escape")
    assert meaning.count() == 0
    button.click()
    assert meaning.count() == 1


def test_on_paper_nothing_is_folded_and_no_table_is_cut(page: Page) -> None:
    page.set_viewport_size({"width": 720, "height": 1000})
    page.emulate_media(media="print")
    cut = page.evaluate(
        "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > 721)"
        ".map(t => t.textContent.slice(0, 60))"
    )
    assert cut == []
    assert page.locator("dl.words").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
