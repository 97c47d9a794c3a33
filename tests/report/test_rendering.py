"""Pages as a browser shows them, if there is one: at a phone's and a desktop's width, light and dark, and on paper."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gmm_spark.report.comparing import render_comparison
from gmm_spark.report.single import render_report
from gmm_spark.report.subject import Subject
from tests.report.subjects import HOSTILE, build_facts, build_parameters, build_portrait, build_subject

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

# Elements whose text does not fit them and cannot be scrolled to; what is only for readers aloud is not looked at.
CUT_OFF = """() => [...document.querySelectorAll('body *')].filter(one => {
    const style = getComputedStyle(one);
    return one.clientWidth > 0 && !one.closest('svg') && style.overflowX !== 'auto' && !one.closest('.scroll')
        && one.scrollWidth > one.clientWidth + 1;
}).map(one => one.outerHTML.slice(0, 100))"""
WIDER = "() => document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


def build(k: int, d: int, kind: str, names: tuple[str, ...] = (), **more: Any) -> Subject:
    parameters = build_parameters(k, d, kind)
    portrait = build_portrait(parameters, names)
    return build_subject(parameters, names, facts=build_facts(**more), portrait=portrait)


def list_warnings() -> list[dict[str, str]]:
    return [
        {"code": "a", "severity": one, "meaning": HOSTILE[2], "remedy": HOSTILE[0], "column": HOSTILE[1]}
        for one in ("serious", "warning", "info")
    ]


def compare() -> str:
    subject = build(3, 5, "full", HOSTILE)
    return render_comparison(subject, subject)


PAGES: dict[str, Callable[[], str]] = {
    "usual": lambda: render_report(build(6, 4, "full")),
    "warnings": lambda: render_report(build(3, 5, "full", HOSTILE, checks=list_warnings())),
    "wide": lambda: render_report(build(50, 40, "diag", tuple(f"feature {i} {'long ' * i}" for i in range(40)))),
    "one": lambda: render_report(build(1, 1, "full")),
    "no-run": lambda: render_report(build_subject()),
    "comparison": compare,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_browser_shows_all_of_a_page_and_fetches_nothing(browser: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "page.html"
    path.write_text(PAGES[name](), encoding="utf-8")
    for width, scheme in ((390, "light"), (1280, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.goto(path.as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert said == []
        assert page.evaluate(WIDER) <= 0
        assert page.evaluate(CUT_OFF) == []
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.className") == "skip"
        context.close()


def test_wide_tables_can_be_scrolled_by_keyboard(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(PAGES["wide"](), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(path.as_uri())
    lost = "() => [...document.querySelectorAll('.scroll')].filter(one => one.tabIndex < 0 || !one.ariaLabel).length"
    assert page.evaluate(lost) == 0
    page.close()


def test_on_a_phone_sentences_have_the_width_of_the_screen(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(PAGES["usual"](), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(path.as_uri())
    narrow = "() => [...document.querySelectorAll('.told td.long')].filter(one => one.clientWidth < 300).length"
    assert page.locator(".told td.long").count() > 0
    assert page.evaluate(narrow) == 0
    page.close()


@pytest.mark.parametrize("name", ["usual", "wide"])
def test_paper_shows_the_whole_width_dark_on_light(browser: Any, tmp_path: Path, name: str) -> None:
    path = tmp_path / "page.html"
    path.write_text(PAGES[name](), encoding="utf-8")
    page = browser.new_page(viewport={"width": 718, "height": 1000})  # A4 less its margins
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(path.as_uri())
    assert page.evaluate(WIDER) <= 0
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()
