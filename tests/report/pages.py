"""A page as a reader's browser would take it: parsed, with what it must not have."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "br", "hr", "img", "input", "col"})
SECTIONS = [
    "verdict",
    "fitted",
    "components",
    "pictures",
    "fit",
    "ambiguity",
    "choice",
    "search",
    "anomalies",
    "drift",
    "cost",
    "use",
]


class Page(HTMLParser):
    """Parse a page; raise AssertionError if a tag is not closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.html = html
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if values.get("id") else []
        self.handlers += [name for name in values if name.startswith("on")]
        for name in ("href", "src", "action", "data", "xlink:href", "srcset"):
            if address := values.get(name):
                (self.links if address.startswith("#") else self.addresses).append(address)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> was never opened"
        assert self.open.pop() == tag, f"</{tag}> closes something else"
        if tag in ("td", "th", "dt", "dd"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def words(self) -> str:
        """The text, with each run of blanks as one."""
        return " ".join(self.text.split())


def require_sound(html: str, sections: tuple[str, ...] | list[str] = SECTIONS) -> Page:
    """Parse a page that is whole, and runs and fetches nothing."""
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert len(html.encode()) < 2_000_000
    assert [one for one in page.ids if one in sections] == list(sections)
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.links} <= {*page.ids}
    assert "script" not in page.tags
    assert "iframe" not in page.tags
    assert not page.handlers
    assert all(one.startswith("data:") for one in page.addresses), page.addresses
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert not any("url(" in style or "@import" in style for style in styles)
    return page
