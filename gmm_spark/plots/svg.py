"""SVG for a page: small, accessible, light or dark with the page, no id that another figure has."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zlib

from gmm_spark.plots.palette import DARK, PROPERTIES

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# What says nothing to a reader of the picture, or stands once at the root.
_DROPPED = ("aria-hidden", "aria-roledescription", "role", "pointer-events", "font-family", "stroke-miterlimit")
_NARROWEST = 380.0
_LONG = re.compile(r"-?\d+\.\d{2,}")
_POLYLINE = re.compile(r"(?:[ML]-?[\d.e-]+,-?[\d.e-]+|Z)+")
_POINT = re.compile(r"([ML])([^,]+),([^MLZ]+)|Z")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def dress(picture: str, name: str, title: str, description: str) -> str:
    """Return the SVG that Vega made as an element of a page.

    Parameters
    ----------
    picture : str
        An SVG whose colours are those of :mod:`.palette`.
    name : str
        Ids begin with it, and with a sum over the picture: the same figure of two mixtures may be in one page.
    title, description : str
        For readers who do not see the picture.
    """
    root = ElementTree.fromstring(picture)
    prefix = f"{name}-{zlib.crc32(picture.encode()):08x}"
    font = next((e.attrib["font-family"] for e in root.iter() if "font-family" in e.attrib), "sans-serif")
    ground = root.find(f"{{{_SVG}}}rect")
    if ground is not None:  # the page's own shows
        root.remove(ground)
    _remove_invisible(root)
    for element in root.iter():
        _clean(element, prefix)
    # Narrow figures get room at their right: pages scale figures to a column, and text should be of one size.
    width, height = max(float(root.attrib["width"]), _NARROWEST), float(root.attrib["height"])
    root.attrib.clear()
    root.attrib.update(
        {
            "class": "gmm-figure",
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width:g}",
            "role": "img",
            "aria-labelledby": f"{prefix}-title {prefix}-description",
            "font-family": font,
            "style": "max-width:100%;height:auto",
        }
    )
    for place, (tag, text) in enumerate((("title", title), ("desc", description), ("style", _style()))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}")
        element.text = text
        if tag != "style":
            element.attrib["id"] = f"{prefix}-{'title' if tag == 'title' else 'description'}"
        root.insert(place, element)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _style() -> str:
    """Return the values of the colours. ``:where`` has no weight, so that any rule of the page goes before it."""
    light = "".join(f"{name}:{colour};" for colour, name in PROPERTIES.items())
    dark = "".join(f"{name}:{DARK[colour]};" for colour, name in PROPERTIES.items())
    rule = ":where(.gmm-figure)"
    return f"{rule}{{{light}}}@media screen and (prefers-color-scheme:dark){{{rule}{{{dark}}}}}"


def _remove_invisible(parent: ElementTree.Element) -> None:
    for child in list(parent):
        _remove_invisible(child)
        shape = child.attrib.get("d")
        hidden = child.attrib.get("display") == "none" or shape in ("", "M0,0h0v0h0Z")
        frame = child.attrib.get("class") == "background" and child.attrib.keys().isdisjoint({"stroke", "fill"})
        empty = child.tag == f"{{{_SVG}}}g" and not len(child)
        if hidden or frame or empty:
            parent.remove(child)


def _clean(element: ElementTree.Element, prefix: str) -> None:
    found = element.attrib
    for key in _DROPPED:
        found.pop(key, None)
    if found.get("opacity") == "1":
        del found["opacity"]
    for key, value in found.items():
        if key == "id":
            found[key] = f"{prefix}-{value}"
        elif key in ("fill", "stroke") and value in PROPERTIES:
            found[key] = f"var({PROPERTIES[value]})"
        elif key == "d" and _POLYLINE.fullmatch(value):
            found[key] = _shorten_path(value)
        elif key in ("d", "transform", "x", "y", "x2", "y2", "width", "height"):
            found[key] = _LONG.sub(lambda number: f"{float(number[0]):.1f}", value)
        elif "url(#" in value:
            found[key] = _REFERENCE.sub(rf"url(#{prefix}-\1)", value)


def _shorten_path(path: str) -> str:
    """Write a path of straight lines in tenths of a pixel, each point as its distance from the one before.

    Examples
    --------
    >>> _shorten_path("M0,60.42L1.94,60.42L1.94,59L3.8,58.01Z")
    'M0,60.4h1.9v-1.4l1.9-1z'
    """
    written, x, y = [], 0, 0
    for command, *place in _POINT.findall(path):
        if not command:
            written.append("z")
            continue
        right, down = (round(10 * float(value)) for value in place)
        if command == "M":
            written.append(f"M{right / 10:g},{down / 10:g}")
        elif down == y:
            written.append(f"h{(right - x) / 10:g}")
        elif right == x:
            written.append(f"v{(down - y) / 10:g}")
        else:
            written.append(f"l{(right - x) / 10:g}{'' if down < y else ','}{(down - y) / 10:g}")
        x, y = right, down
    return "".join(written)
