"""Rows of a table in two dimensions as shades: an image, whatever the number of rows."""

from __future__ import annotations

import altair as alt
import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.plots.marks import inline
from gmm_spark.plots.palette import DENSITY
from gmm_spark.plots.raster import paint

# The shade is the power of the count: with 1, a table's bulk would hide all else; with 0, the bulk would not be seen.
_POWER = 0.4
_FAINTEST, _DARKEST = 0.06, 0.95


def shade(counts: Array) -> Array:
    """Return the opacity of each cell, from its count; 0 if nothing is in it."""
    most = counts.max()
    if not most > 0:
        return np.zeros(counts.shape)
    return np.where(counts > 0, np.maximum(_DARKEST * (counts / most) ** _POWER, _FAINTEST), 0.0)


def paint_rows(counts: Array, left: float, top: float, width: float, height: float) -> alt.Chart:
    """Draw counts (x, y) as an image with its corner at a place in pixels; y grows upwards."""
    url = paint(DENSITY, shade(counts).T[::-1])
    return (
        alt.Chart(inline([{"url": url}]))
        .mark_image(aspect=False, smooth=False, align="left", baseline="top", width=width, height=height)
        .encode(x=alt.value(left), y=alt.value(top), url="url:N")
    )


def paint_scale(left: float, top: float, width: float = 70.0) -> alt.Chart:
    """Draw the shades from none to the most as a strip of 9 pixels."""
    counts = np.linspace(0, 1, 41)[:, None]
    return paint_rows(counts, left, top, width, 9)
