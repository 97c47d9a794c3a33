"""Which components share rows: of the weight of each, how much is shared with another, as a heat map."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from gmm_spark.core.arrays import Array
from gmm_spark.core.formatting import say_share
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.plots.components import write_key
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline
from gmm_spark.plots.palette import DENSITY, INK, LINE, MUTED
from gmm_spark.plots.raster import paint

_FEW = 8  # components up to which figures stand in the cells
_SIDE = WIDTH * 0.9
_POWER = 0.5  # of the share, so that small ones are seen
_SEEN = 0.001  # shares from which on a cell is not empty
_LABELS = 12  # components that have their number at the axes, at most
_HARDLY, _NOTHING = 0.05, 1e-5  # shared, up to which components are told apart, and below which it is none


def draw_confusion(portrait: Portrait) -> Figure:
    """Draw the confusion of the components: how much of the weight of each, by rows, is as well another's, by columns.

    Two components share a row as its responsibilities say; on the diagonal is what a component shares with none.

    Parameters
    ----------
    portrait : Portrait

    Returns
    -------
    Figure
        Its table has ``component``, ``other`` and ``shared``, the largest shares of two different ones first.
    """
    overlap = portrait.overlap
    table = tabulate(overlap)
    return Figure("confusion", "Components that share rows", read(portrait, table), table, _chart(overlap))


def tabulate(overlap: Array) -> pd.DataFrame:
    """List the pairs of different components, those that share most first; then each with itself."""
    k = len(overlap)
    first, second = np.divmod(np.arange(k * k), k)
    own = first == second
    order = np.lexsort((-overlap.ravel(), own))
    table = pd.DataFrame({"component": first, "other": second, "shared": overlap.ravel()})
    return table.iloc[order].reset_index(drop=True)


def read(portrait: Portrait, table: pd.DataFrame) -> str:
    """Say how far rows are shared, and which two components share most."""
    if len(table) == 1:
        return "There is one component: no row is shared."
    alike = float(np.trace(portrait.confusion) / portrait.component_weights.sum())
    most = table.iloc[0]
    said = f"On average, two draws of a row's component by its responsibilities agree in {say_share(alike)} of cases"
    if most["shared"] < _NOTHING:
        return f"{said}: no component shares rows with another."
    if most["shared"] <= _HARDLY:
        return f"{said}: no component shares more than {say_share(float(most['shared']))} of its weight with another."
    return (
        f"{said}. Component {most['component']:.0f} shares the most: {say_share(float(most['shared']))} of its weight "
        f"is shared with {most['other']:.0f}."
    )


def _chart(overlap: Array) -> alt.LayerChart:
    k = len(overlap)
    step = _SIDE / k if k > _FEW else min(_SIDE / k, 44.0)
    side = step * k
    shown = list(range(0, k, -(-k // _LABELS)))
    cells = [
        {"row": i, "other": j, "opacity": float(overlap[i, j]) ** _POWER, "shown": _write(float(overlap[i, j]))}
        for i in range(k)
        for j in range(k)
        if k <= _FEW or i == j
    ]
    base = alt.Chart(inline(cells)).encode(
        x=alt.X(
            "other:O",
            axis=alt.Axis(
                title="is shared with component", labelAngle=0, ticks=False, domain=False, orient="top", values=shown
            ),
        ),
        y=alt.Y("row:O", axis=alt.Axis(title="of component", ticks=False, domain=False, values=shown)),
    )
    if k <= _FEW:
        layers = [
            base.mark_rect(color=DENSITY, stroke=LINE, strokeWidth=1).encode(
                fillOpacity=alt.FillOpacity("opacity:Q", scale=None, legend=None)
            ),
            base.mark_text(color=INK, fontSize=11).encode(text="shown:N"),
        ]
        layers.append(write_key([("% of the weight", MUTED)], y=side + 12))
    else:
        url = paint(DENSITY, np.where(overlap < _SEEN, 0.0, overlap) ** _POWER)
        picture = alt.Chart(inline([{"url": url}])).mark_image(
            aspect=False, smooth=False, align="left", baseline="top", width=side, height=side
        )
        layers = [
            picture.encode(x=alt.value(0), y=alt.value(0), url="url:N"),
            base.mark_rect(opacity=0, color=LINE),
            _scale(side),
        ]
    return alt.layer(*layers).properties(width=side, height=side)


def _write(share: float) -> str:
    """Write a share as a number of per cent that fits a cell."""
    percent = 100 * share
    if percent < 0.05:
        return "0" if percent == 0 else "·"
    return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"


def _scale(side: float) -> alt.LayerChart:
    """Draw the shades of some shares below the picture."""
    steps = [0.01, 0.05, 0.2, 0.5, 1.0]
    rows = [
        {
            "x": 62.0 * i,
            "x2": 62.0 * i + 18,
            "y": side + 8,
            "y2": side + 20,
            "opacity": one**_POWER,
            "text": say_share(one),
        }
        for i, one in enumerate(steps)
    ]
    pixels = {"x": alt.X("x:Q", scale=None, axis=None), "y": alt.Y("y:Q", scale=None, axis=None)}
    base = alt.Chart(inline(rows))
    boxes = base.mark_rect(color=DENSITY, stroke=LINE, strokeWidth=1).encode(
        **pixels, x2="x2:Q", y2="y2:Q", fillOpacity=alt.FillOpacity("opacity:Q", scale=None, legend=None)
    )
    texts = base.mark_text(align="left", baseline="top", dx=22, dy=1, color=MUTED).encode(**pixels, text="text:N")
    return boxes + texts
