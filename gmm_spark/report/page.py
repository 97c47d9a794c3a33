"""The page itself: sections in order, put into one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

from gmm_spark._version import __version__
from gmm_spark.extras import require_extra
from gmm_spark.report.blocks import Section
from gmm_spark.report.verdict import Verdict

_TEMPLATES = ("page.html", "style.css")


def _keep_whole(text: str) -> str:
    """Keep the sign of per cent on the line of its number."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)


def render(title: str, lead: str, verdict: Verdict, sections: Sequence[Section]) -> str:
    """Return a page as HTML.

    Every text is escaped. The only HTML that is taken as it is are the pictures, which this package draws.

    Parameters
    ----------
    title : str
    lead : str
        One line under the title.
    verdict : Verdict
    sections : sequence of Section

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    """
    require_extra("report", "jinja2", "a report")
    import jinja2

    folder = files("gmm_spark.report") / "templates"
    sources = {name: (folder / name).read_text(encoding="utf-8") for name in _TEMPLATES}
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.DictLoader(sources),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole"] = _keep_whole
    page: str = environment.get_template("page.html").render(
        title=title, lead=lead, verdict=verdict, sections=sections, version=__version__
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written
