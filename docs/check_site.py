"""Check the site that mkdocs has built: ``python docs/check_site.py build/site``, after which it works offline.

Every link within the site leads to a page, and to an anchor of it; nothing is loaded from elsewhere; no page is empty,
and none shows the mark-up of a docstring.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that make a browser load something, by element; a link of these kinds is not loaded.
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
NOT_LOADED = {"canonical", "prev", "next", "alternate"}


class Page(HTMLParser):
    """What a page links to, what it loads, and its anchors.

    Parameters
    ----------
    text : str
        The page's HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.roles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element's link, anchor or resource."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in LOADED and LOADED[tag] in found and found.get("rel") not in NOT_LOADED:
            self.loads.append(found[LOADED[tag]])

    def handle_data(self, data: str) -> None:
        """Note the mark-up of Sphinx, which docstrings have and this site does not know."""
        self.roles += re.findall(r":(?:attr|class|data|func|meth|mod):$", data)


def find_faults(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site, a sentence each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site}: no page; build the site first: make site"
    for path, page in pages.items():
        name = path.relative_to(site)
        if page.roles:
            yield f"{name} shows {page.roles[0]} of a docstring"
        for target in page.loads:
            if urlsplit(target).scheme not in ("", "data") or target.startswith("//"):
                yield f"{name} loads {target}, which is not of the site"
            elif not target.startswith("data:") and not (path.parent / unquote(urlsplit(target).path)).exists():
                yield f"{name} loads {target}, which is not there"
        for target in page.links:
            where = urlsplit(target)
            if where.scheme or target.startswith("//"):
                continue
            leads = (path.parent / unquote(where.path)).resolve() if where.path else path.resolve()
            leads = leads / "index.html" if leads.is_dir() else leads
            if not leads.exists():
                yield f"{name} links to {target}, which is not there"
            elif where.fragment and leads.suffix == ".html":
                anchors = pages[site.resolve() / leads.relative_to(site.resolve())].anchors
                if unquote(where.fragment) not in anchors:
                    yield f"{name} links to {target}, whose anchor is not there"
    for style in sorted(site.rglob("*.css")):
        if "url(http" in style.read_text(encoding="utf-8") or "@import" in style.read_text(encoding="utf-8"):
            yield f"{style.relative_to(site)} loads something from elsewhere"


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    faults = list(find_faults(folder))
    print(*faults, sep="\n")
    if faults:
        sys.exit(1)
    print(
        f"{len(list(folder.rglob('*.html')))} pages, whose links lead somewhere and which load nothing from elsewhere"
    )
