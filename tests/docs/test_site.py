"""The check of the built site finds what it is for. `make site`, which CI runs, checks the site itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gmm_spark
import gmm_spark.plots
import gmm_spark.report
from check_site import find_faults

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">', "page.html links to gone.html, which is not there"),
        ('<a href="#gone">', "page.html links to #gone, whose anchor is not there"),
        ('<a href="other.html#gone">', "page.html links to other.html#gone, whose anchor is not there"),
        ('<script src="https://a.example/b.js">', "page.html loads https://a.example/b.js, which is not of the site"),
        ('<img src="gone.png">', "page.html loads gone.png, which is not there"),
        ("see :meth:<code>fit</code>", "page.html shows :meth: of a docstring"),
    ],
)
def test_a_fault_of_a_site_is_found(tmp_path: Path, body: str, fault: str) -> None:
    (tmp_path / "other.html").write_text('<h1 id="there">')
    page = tmp_path / "page.html"
    page.write_text('<a href="other.html#there"> <a href="https://a.example/elsewhere">')
    assert list(find_faults(tmp_path)) == []
    page.write_text(body)
    assert list(find_faults(tmp_path)) == [fault]


def test_a_site_without_pages_is_a_fault(tmp_path: Path) -> None:
    assert len(list(find_faults(tmp_path))) == 1


def test_the_reference_has_every_public_name() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("api*.md"))
    public = {f"gmm_spark.{name}" for name in gmm_spark.__all__ if name != "__version__"}
    for module in (gmm_spark.plots, gmm_spark.report):
        public |= {f"{module.__name__}.{name}" for name in module.__all__}
    assert public | {"gmm_spark.mlflow"} <= {*re.findall(r"^::: (.+)$", pages, re.MULTILINE)}
