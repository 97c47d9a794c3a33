"""Hooks of the site's build: the pages at the repository's root, pictures within pages, and the page that is not there.

README, CONTRIBUTING, CHANGELOG and SECURITY are pages of the site too, and links between them and docs/ lead to pages.
Links to files that are no pages become plain text. An SVG is put into its page, where it takes the colours that the
reader has chosen there.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from gmm_spark.plots.palette import DARK, PROPERTIES

# It loads nothing, so that it works on any server and from disk. All pages lie side by side.
_NOT_FOUND = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>No such page - gmm-spark</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem; padding: 0 1rem; }</style>
</head>
<body>
<h1>There is no such page</h1>
<p>It may have another name now. The <a href="index.html">first page</a> of gmm-spark's documentation leads to all.</p>
</body>
</html>
"""
ROOT = Path(__file__).parents[1]
# Files of the root by the pages that they become.
PAGES = {f"{name.lower()}.md": f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")}
COLOURS = "pictures/colours.css"
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>[.~]?")  # of docstrings: Markdown has no such
_PICTURE = re.compile(r"^!\[([^\]]*)\]\((pictures/[\w-]+\.svg)\)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and the colours of pictures."""
    for page, name in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    files.append(File.generated(config, COLOURS, content=_write_colours()))
    return files


def _write_colours() -> str:
    """Write the colours of pictures by the site's schemes, since a reader may choose another than the system's."""
    values = {"default": {colour: colour for colour in PROPERTIES}, "slate": DARK}
    return "".join(
        f'[data-md-color-scheme="{scheme}"] .gmm-figure{{'
        + "".join(f"{name}:{colours[colour]};" for colour, name in PROPERTIES.items())
        + "}\n"
        for scheme, colours in values.items()
    )


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Lead links to pages of the site, and put pictures into the page."""
    source = page.file.src_uri
    folder = "" if source in PAGES else "docs"

    def lead(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        path, _, anchor = target.partition("#")
        if not path or ":" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(folder, path))
        pages = {name: page for page, name in PAGES.items()} | {f"docs/{uri}": uri for uri in files.src_uris}
        if path in pages:
            return f"[{text}]({pages[path]}{'#' if anchor else ''}{anchor})"
        if not (ROOT / path).exists():
            return link[0]  # mkdocs says that it leads nowhere
        return text

    def draw(picture: re.Match[str]) -> str:
        svg = (ROOT / "docs" / picture[2]).read_text(encoding="utf-8")
        return f'<div class="picture" role="group">\n{_one_line(svg)}\n</div>'

    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(lead, _PICTURE.sub(draw, part)) for part in parts)


def on_page_content(content: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Show names in docstrings as code alone."""
    return _ROLE.sub("<code>", content)


def on_post_build(config: MkDocsConfig) -> None:
    """Write the page for wrong addresses: the theme's own loads its files from a server's root, whatever the site's."""
    (Path(config.site_dir) / "404.html").write_text(_NOT_FOUND, encoding="utf-8")


def _one_line(svg: str) -> str:
    """Take line breaks out: Markdown would begin a paragraph at an empty line."""
    return " ".join(line.strip() for line in svg.splitlines() if line.strip())
