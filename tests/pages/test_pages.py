"""Reports in a real browser, opened from disk: nothing fetched, nothing logged, all to be seen.

`make pages`: needs Chromium (CHROMIUM names it), and takes axe-core, which is no part of mpcseg,
from the npm registry where that is reachable.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from mpcseg.report.document import ReportDocument, report_document
from mpcseg.report.page import html
from tests.pages.reports import DATA, REAL, REPORTS

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
AXE = Path(__file__).resolve().parents[2] / "build" / "axe" / "package" / "axe.min.js"
PICTURES = Path(__file__).resolve().parents[2] / "build" / "pages"
SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield opened
        opened.close()


@dataclass
class Opened:
    """A page, and what happened while it was open.

    Attributes:
        page: in the browser.
        document: what it was made of.
        messages: on the console, errors of the page included.
        requests: URLs.
    """

    page: Page
    document: ReportDocument
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module", params=sorted(REPORTS))
def report(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ReportDocument, Path]:
    """One report after the other, as a file."""
    name = request.param
    if name in REAL and not DATA.is_dir():
        pytest.skip(f"the real tables are not at {DATA}")
    document = report_document(REPORTS[name]())
    path = tmp_path_factory.mktemp(name) / "report.html"
    path.write_text(html(document), encoding="utf-8")
    return name, document, path


@pytest.fixture(scope="module")
def opened(report: tuple[str, ReportDocument, Path], browser: Browser) -> Iterator[Opened]:
    _, document, path = report
    # Axe is put into the page by the test; the policy of the page itself is looked at below.
    context = browser.new_context(viewport=DESK)
    got = Opened(context.new_page(), document)
    got.page.on("console", lambda message: got.messages.append(message.text))
    got.page.on("pageerror", lambda error: got.messages.append(str(error)))
    got.page.on("dialog", lambda dialog: got.messages.append(dialog.message))
    got.page.on("request", lambda asked: got.requests.append(asked.url))
    got.page.goto(path.as_uri())
    yield got
    context.close()


@pytest.fixture
def phone(opened: Opened) -> Iterator[Page]:
    opened.page.set_viewport_size(PHONE)
    yield opened.page
    opened.page.set_viewport_size(DESK)


def test_nothing_is_fetched_and_nothing_is_logged(
    opened: Opened, report: tuple[str, ReportDocument, Path]
) -> None:
    assert opened.requests == [report[2].as_uri()]
    assert opened.messages == []
    assert opened.page.title() == opened.document.title


def test_the_style_sheet_passes_the_pages_own_policy(opened: Opened) -> None:
    colour = opened.page.locator("table").first.evaluate("t => getComputedStyle(t).borderCollapse")
    assert colour == "collapse"


def test_every_figure_is_there_and_has_a_size(opened: Opened) -> None:
    figures = [figure for section in opened.document.sections for figure in section.figures]
    assert figures
    pictures = opened.page.locator("figure svg")
    assert pictures.count() == len(figures)
    for place, figure in enumerate(figures):
        box = pictures.nth(place).bounding_box()
        assert box is not None, figure.name
        assert box["width"] > 200, figure.name
        assert box["height"] > 60, figure.name
        assert opened.page.get_by_role("img", name=figure.title, exact=True).count() == 1


def test_all_text_of_a_figure_is_inside_it(opened: Opened) -> None:
    """Labels are measured with other fonts where a page is made than where it is read."""
    outside = opened.page.evaluate(
        """() => [...document.querySelectorAll("figure svg")].flatMap(svg => {
            const frame = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")].filter(text => {
                const box = text.getBoundingClientRect();
                return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1
                    || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
            }).map(text => text.textContent);
        })"""
    )
    assert outside == []


def test_a_phone_shows_the_page_without_scrolling_sideways(phone: Page) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert phone.evaluate("document.body.scrollWidth") <= PHONE["width"]


def test_text_of_figures_can_be_read_on_a_phone(phone: Page) -> None:
    small = phone.evaluate(
        """() => [...document.querySelectorAll("figure svg")].map(svg => {
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
            return scale * Math.min(...[...svg.querySelectorAll("text")].map(text =>
                parseFloat(text.getAttribute("font-size"))));
        })"""
    )
    assert min(small) >= 5.5


def test_the_keyboard_reaches_the_report_and_every_wide_table(phone: Page) -> None:
    phone.keyboard.press("Tab")
    assert phone.evaluate("document.activeElement.className") == "skip"
    box = phone.locator("a.skip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    phone.keyboard.press("Enter")
    assert phone.evaluate("document.activeElement.id") == "content"
    for region in phone.locator(".table").all():
        region.focus()
        assert region.evaluate("r => r === document.activeElement")
        assert region.evaluate("r => getComputedStyle(r).outlineStyle") != "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_by_axe(
    report: tuple[str, ReportDocument, Path], browser: Browser, scheme: str
) -> None:
    if not AXE.is_file():
        pytest.skip(f"axe-core is not at {AXE}: the npm registry was not reached")
    # Axe is a script, which the page's own policy would not let run.
    context = browser.new_context(viewport=PHONE, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(report[2].as_uri())
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", RULES
    )
    context.close()
    wrong = [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
    assert wrong == []
    assert len(found["passes"]) > 15


def test_the_pages_policy_stops_a_script_that_got_into_it(
    report: tuple[str, ReportDocument, Path], browser: Browser
) -> None:
    _, _, path = report
    spoilt = path.with_name("spoilt.html")
    inserted = "<script>document.title = 'ran'</script><img src='https://example.org/x.png'>"
    spoilt.write_text(path.read_text(encoding="utf-8").replace("<main", f"{inserted}<main", 1))
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(spoilt.as_uri())
    assert page.title() != "ran"
    assert any("script" in text and "Content Security Policy" in text for text in said)
    assert any("image" in text or "img" in text for text in said)
    page.close()


def test_it_prints_without_navigation_and_in_full_width(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    assert not opened.page.locator("nav").is_visible()
    assert opened.page.locator("main").is_visible()
    content = opened.page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 1
    opened.page.emulate_media(media="screen")


def test_pictures_are_taken_for_whoever_wants_to_look(
    opened: Opened, report: tuple[str, ReportDocument, Path]
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width, size in (("desk", DESK), ("phone", PHONE)):
        opened.page.set_viewport_size(size)
        picture = PICTURES / f"{report[0]}-{width}.png"
        opened.page.screenshot(path=picture, full_page=True)
        assert picture.stat().st_size > 10_000
    opened.page.set_viewport_size(DESK)
