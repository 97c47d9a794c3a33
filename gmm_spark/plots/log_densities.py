"""How likely the rows are under the mixture: the distribution of their log-densities, with a threshold."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from gmm_spark.core.arrays import Array
from gmm_spark.core.formatting import say_share, show_number
from gmm_spark.core.kernels.histogram import LogDensityHistogram
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline, write
from gmm_spark.plots.palette import ACCENT, DENSITY, MUTED

_HEIGHT, _BINS = 190, 72
# Rows that may lie below what is drawn, as a share: a few far off would leave the others no room.
_TAIL = 0.002


def draw_log_densities(histogram: LogDensityHistogram, threshold: float | None = None) -> Figure:
    """Draw the distribution of the rows' log-densities, and the threshold below which rows are anomalies.

    The least likely rows, at most 0.2 % of all, may lie to the left of what is drawn; a note says how many, and how
    low the lowest is.

    Parameters
    ----------
    histogram : LogDensityHistogram
        Of the training rows.
    threshold : float, optional
        Nats. Rows below it are anomalies.

    Returns
    -------
    Figure
        Its table has ``from``, ``to``, ``share`` of the rows between; the first reaches down to the lowest row.
    """
    edges = _edges(histogram, threshold)
    shares = np.diff(share_below(histogram, edges))
    lower = float(share_below(histogram, edges[:1])[0])
    table = pd.DataFrame(
        {
            "from": [histogram.quantile(0.0), *edges[:-1]],
            "to": edges,
            "share": [lower, *shares],
        }
    )
    if not lower:
        table = table.iloc[1:].reset_index(drop=True)
    reading = read(histogram, threshold)
    chart = _chart(histogram, edges, shares, lower, threshold)
    return Figure("log-densities", "Log-density of the rows", reading, table, chart)


def share_below(histogram: LogDensityHistogram, values: Array) -> Array:
    """Return the share of the rows' weight below log-densities, in nats; exact at the edges of bins."""
    known = [0.0, *(np.cumsum(histogram.weights[::-1]) / histogram.weights.sum())]
    upper = [histogram.bin_edge(i) for i in range(histogram.weights.size, -1, -1)]
    return np.asarray(np.interp(values, upper, known, left=0.0, right=1.0))


def read(histogram: LogDensityHistogram, threshold: float | None) -> str:
    """Say where the middle of the rows lies, and what share the threshold calls anomalies."""
    low, middle, high = (show_number(histogram.quantile(q)) for q in (0.25, 0.5, 0.75))
    said = f"Half of the rows have log-densities from {low} to {high} nats, about {middle}."
    if threshold is None:
        return said
    below = float(share_below(histogram, np.array([threshold]))[0])
    who = "none" if below == 0 else say_share(below)
    return f"{said} {who.capitalize()} of the rows lie below the threshold of {show_number(threshold)}."


def _edges(histogram: LogDensityHistogram, threshold: float | None) -> Array:
    """Return the edges of the bins that are drawn; the lowest lies in the tail, or a little below the threshold."""
    low, high = histogram.quantile(_TAIL), histogram.quantile(1.0)
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    room = max(0.03 * (high - low), 0.5)
    return np.linspace(low - room, high + room, _BINS + 1)


def _chart(
    histogram: LogDensityHistogram, edges: Array, shares: Array, lower: float, threshold: float | None
) -> alt.Chart:
    x = alt.X(
        "at:Q",
        scale=alt.Scale(domain=[edges[0], edges[-1]], nice=False, zero=False),
        axis=alt.Axis(title="log-density, nats", grid=False, tickCount=6),
    )
    top = float(100 * shares.max()) * 1.12
    y = alt.Y("percent:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=alt.Axis(title="% of rows", tickCount=4))
    # Each value holds up to the next edge.
    rows = [{"at": at, "percent": 100 * s} for at, s in zip(edges, [*shares, 0.0], strict=True)]
    area = alt.Chart(inline(rows)).mark_area(interpolate="step-after", color=DENSITY, opacity=0.85).encode(x=x, y=y)
    layers: list[alt.Chart] = [area]
    if threshold is not None:
        layers += _mark_threshold(histogram, threshold, edges, x)
    if lower:
        note = f"◂ {say_share(lower)} of the rows are off the picture, down to {show_number(histogram.quantile(0.0))}"
        layers.append(write(note, 0, -26 if threshold is not None else -9, color=MUTED, fontSize=11))
    return alt.layer(*layers).properties(width=WIDTH, height=_HEIGHT)


def _mark_threshold(histogram: LogDensityHistogram, threshold: float, edges: Array, x: alt.X) -> list[alt.Chart]:
    at = alt.Chart(inline([{"at": threshold}]))
    left = threshold < (edges[0] + edges[-1]) / 2  # the text, above the plot, goes to the side that has room
    below = float(share_below(histogram, np.array([threshold]))[0])
    text = f"threshold {show_number(threshold)}: {say_share(below)} of the rows lie below"
    return [
        at.mark_rule(color=ACCENT, strokeWidth=2, strokeDash=[5, 3]).encode(x=x),
        at.mark_text(text=text, color=ACCENT, fontWeight="bold", align="left" if left else "right").encode(
            x=x, y=alt.value(-9)
        ),
    ]
