"""A figure: a chart, the table of what it shows, and what to read from it in a sentence."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from gmm_spark.errors import ParameterError
from gmm_spark.plots.palette import INK, LINE, MUTED
from gmm_spark.plots.svg import dress

# Of a figure's plots, pixels: with its axes a figure is as wide as a phone shows without making text smaller.
WIDTH = 300

# Pixels of a PNG for each of the figure's.
_SHARPNESS = 2.0
_LETTERS_A_PIXEL = 0.16  # of the subtitle

# Widths of text are measured when a figure is made, so the page must have a font of these widths: Arial's.
_FONT = "Arial, Helvetica, 'Liberation Sans', sans-serif"
_STYLE: dict[str, Any] = {
    "aria": False,  # the SVG has one title and description; a label on each mark would be many times its size
    "background": "white",
    "font": _FONT,
    "padding": 6,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": INK,
        "labelFontSize": 11.5,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 6,
        "gridColor": LINE,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "labelLimit": 150,
        "titleLimit": 0,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 11.5,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 0,
        "titleLimit": 0,
        "gradientStrokeColor": LINE,
        "orient": "top",
        "direction": "horizontal",
        "offset": 8,
    },
    "text": {"color": INK, "fontSize": 11.5},
    "title": {
        "color": INK,
        "subtitleColor": MUTED,
        "fontSize": 14,
        "subtitleFontSize": 11.5,
        "anchor": "start",
        "offset": 12,
    },
}


@dataclass(frozen=True, eq=False)
class Figure:
    """A chart that is ready to be shown, saved or put into a page.

    Attributes
    ----------
    name : str
        Of letters and hyphens, such as ``bound-by-pass``.
    title : str
        What the chart shows.
    reading : str
        What the data say, in a sentence or two, made from the data.
    table : pandas.DataFrame
        The figures that the chart shows.
    chart : altair chart
        To change, combine or show with Altair.
    """

    name: str
    title: str
    reading: str
    table: pd.DataFrame
    chart: alt.TopLevelMixin

    def svg(self) -> str:
        """Return the chart as an SVG element to be put into an HTML page.

        It has no script and asks for nothing from the network. It follows the page's width, and is light or dark as the
        reader prefers; a page that lets the reader choose sets the properties of :data:`.palette.PROPERTIES`.
        Its title is the figure's, its description the reading. All its ids begin with the figure's name.
        """
        return dress(self._as_svg(self._configured()), self.name, self.title, self.reading)

    def render(self, ending: str) -> bytes:
        """Return the chart as a file, with title and reading above it, on a white ground.

        Parameters
        ----------
        ending : {"png", "svg", "pdf"}

        Raises
        ------
        ParameterError
            If the ending is another.
        """
        spec = self._configured()
        width = _width_of(self._as_svg(spec))
        lines = textwrap.wrap(self.reading, max(int(width * _LETTERS_A_PIXEL), 40))
        spec["title"] = {"text": textwrap.wrap(self.title, max(int(width * 0.13), 30)), "subtitle": lines}
        if ending == "svg":
            return self._as_svg(spec).encode()
        if ending == "png":
            return bytes(vl_convert.vegalite_to_png(spec, scale=_SHARPNESS))
        if ending == "pdf":
            return bytes(vl_convert.vegalite_to_pdf(spec))
        raise ParameterError(f"got a picture that ends in {ending!r}; need png, svg or pdf")

    def save(self, path: str | Path) -> None:
        """Write the chart to a local file, in the format that its ending names: ``.png``, ``.svg`` or ``.pdf``.

        Raises
        ------
        ParameterError
            If the ending is another.
        """
        Path(path).write_bytes(self.render(PurePath(path).suffix[1:].lower()))

    def _repr_html_(self) -> str:
        table = self.table.to_html(index=False, border=0, max_rows=60)
        return (
            f'<figure style="max-width:34em"><figcaption><b>{html.escape(self.title)}</b><br>'
            f"{html.escape(self.reading)}</figcaption>{self.svg()}"
            f'<details><summary>Table</summary><div style="overflow-x:auto">{table}</div></details></figure>'
        )

    def _configured(self) -> dict[str, Any]:
        spec = self.chart.to_dict()
        spec["config"] = _STYLE
        return dict(spec)

    @staticmethod
    def _as_svg(spec: dict[str, Any]) -> str:
        return str(vl_convert.vegalite_to_svg(spec))


def _width_of(svg: str) -> float:
    return float(svg.split('width="', 1)[1].split('"', 1)[0])
