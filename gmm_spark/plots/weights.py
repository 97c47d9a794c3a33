"""The components' weights, largest first."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from gmm_spark.core.formatting import say_share
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline
from gmm_spark.plots.palette import SERIES

# Heights of a bar in pixels, if there are few components and if there are many.
_TALL, _LOW, _MANY = 22, 13, 16


def draw_weights(parameters: MixtureParameters) -> Figure:
    """Draw the share of the rows that each component explains, largest first.

    Parameters
    ----------
    parameters : MixtureParameters

    Returns
    -------
    Figure
        Its table has ``component`` and ``weight``, in the order drawn; noise is the component of the highest number.
    """
    weights = parameters.class_weights
    order = np.argsort(-weights, kind="stable")
    table = pd.DataFrame({"component": order, "weight": weights[order]})
    noise = None if parameters.noise is None else parameters.n_components
    return Figure("weights", "Weights of the components", read(table, noise), table, _chart(table, noise))


def read(table: pd.DataFrame, noise: int | None = None) -> str:
    """Say which component is the largest, which the smallest, how many hold half of the rows, and what noise has."""
    if noise is not None:
        share = float(table.loc[table["component"] == noise, "weight"].iloc[0])
        return f"{read(table[table['component'] != noise])} Noise has {say_share(share)}."
    first, last, k = table.iloc[0], table.iloc[-1], len(table)
    if k == 1:
        return f"The mixture has one component, which explains {say_share(first['weight'])} of the rows."
    said = (
        f"Component {first['component']:.0f} is the largest of {k}, with {say_share(first['weight'])} of the rows; "
        f"the smallest, {last['component']:.0f}, has {say_share(last['weight'])}."
    )
    half = int(np.searchsorted(np.cumsum(table["weight"]), 0.5)) + 1
    return said if k < 5 or half == 1 else f"{said} The {half} largest have half of the rows."


def _chart(table: pd.DataFrame, noise: int | None) -> alt.Chart:
    pairs = zip(*table.T.to_numpy(), strict=True)
    rows = [
        {"name": "noise" if i == noise else f"{i:.0f}", "weight": weight, "text": say_share(weight)}
        for i, weight in pairs
    ]
    step = _LOW if len(rows) > _MANY else _TALL
    base = alt.Chart(inline(rows)).encode(
        y=alt.Y("name:N", sort=None, axis=alt.Axis(title="component", ticks=False, domain=False, labelOverlap=False)),
        x=alt.X(
            "weight:Q",
            scale=alt.Scale(domain=[0, float(table["weight"].max()) * 1.02], nice=False),
            axis=None,
        ),
    )
    bars = base.mark_bar(color=SERIES[0], cornerRadiusEnd=2)
    values = base.mark_text(align="left", dx=5, fontSize=11.5 if step == _TALL else 10.5).encode(text="text:N")
    return (bars + values).properties(width=WIDTH * 0.8, height=step * len(rows))
