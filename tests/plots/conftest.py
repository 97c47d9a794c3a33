"""Mixtures to draw, and what a test sees of a picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.plots import Figure

SVG = "{http://www.w3.org/2000/svg}"


def make_mixture(k: int, d: int, seed: int = 0, covariance_type: str = "full") -> MixtureParameters:
    """Draw a mixture of k components in d dimensions."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 2.0))
    factors = rng.normal(size=(k, d, d))
    covariances = factors @ factors.transpose(0, 2, 1) / d + 0.2 * np.eye(d)
    if covariance_type == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    return MixtureParameters(weights / weights.sum(), rng.normal(0, 3, (k, d)), covariances, covariance_type)


@pytest.fixture(scope="session")
def mixture() -> MixtureParameters:
    """Four components of five features."""
    return make_mixture(4, 5)


def parse(figure: Figure) -> ElementTree.Element:
    """Parse a figure's SVG for pages, and check what must hold of each."""
    text = figure.svg()
    root = ElementTree.fromstring(text)
    assert root.find(f"{SVG}title").text == figure.title
    assert root.find(f"{SVG}desc").text == figure.reading
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert all(one.startswith(f"{figure.name}-") for one in ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    assert set(root.attrib["aria-labelledby"].split()) <= set(ids)
    assert "<script" not in text
    links = [value for element in root.iter() for key, value in element.attrib.items() if key.endswith("href")]
    assert all(link.startswith("data:image/png;base64,") for link in links)
    # Black or white text or lines would vanish on a dark page or a light one.
    painted = {e.attrib.get(key) for e in root.iter() for key in ("fill", "stroke")} - {None, "none", "transparent"}
    assert all(value.startswith(("var(--gmm-", "rgba(", "url(#")) for value in painted), painted
    assert len(text) < 60_000
    return root


def texts(root: ElementTree.Element) -> list[str]:
    """Return what is written in a picture."""
    return [element.text for element in root.iter(f"{SVG}text") if element.text]


def marks(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    """Return the marks of a kind, such as ``symbol``, that data have; not those of axes and legends."""
    found = []
    for group in root.iter(f"{SVG}g"):
        if f"mark-{kind} role-mark" in group.attrib.get("class", ""):
            found += list(group)
    return found
