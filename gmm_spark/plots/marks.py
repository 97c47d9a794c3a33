"""What several figures draw alike: rows of data in a chart, rules, labels that stand clear of each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from gmm_spark.plots.palette import INK


def inline(rows: Iterable[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as data of a chart; what is not finite is null. Altair's own limit of 5,000 rows does not apply."""
    return alt.InlineData(values=[{key: _plain(value) for key, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    if isinstance(value, (str, bool)) or value is None:
        return value
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def value_axis(title: str, edges: Sequence[float], ticks: int) -> alt.Axis:
    """Return the axis of a feature's values, large ones with letters: 20k, 1.5M."""
    if max(abs(edges[0]), abs(edges[-1])) < 10_000:
        return alt.Axis(title=title, grid=False, tickCount=ticks)
    shown = "datum.value == 0 ? '0' : format(datum.value, '~s')"
    return alt.Axis(title=title, grid=False, tickCount=ticks, labelExpr=shown)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions apart, each as little as can be in one sweep down and one up, and keep them within bounds.

    Examples
    --------
    >>> spread([50.0, 52.0, 10.0], 12.0, 0.0, 60.0)
    [48.0, 60.0, 10.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    edge = low
    for i in order:
        placed[i] = edge = max(wanted[i], edge)
        edge += gap
    edge = high
    for i in reversed(order):
        placed[i] = edge = min(placed[i], edge)
        edge -= gap
    return placed


def label_ends(labels: Sequence[str], colours: Sequence[str], heights: Sequence[float], x: float) -> alt.Chart:
    """Write labels one below the other at x pixels, at heights in pixels from the top."""
    rows = [{"text": t, "colour": c, "height": h} for t, c, h in zip(labels, colours, heights, strict=True)]
    return (
        alt.Chart(inline(rows))
        .mark_text(align="left", baseline="middle", fontWeight="bold")
        .encode(
            x=alt.value(x),
            y=alt.Y("height:Q", scale=None, axis=None),
            text="text:N",
            color=alt.Color("colour:N", scale=None, legend=None),
        )
    )


def write(text: str, x: float, y: float, *, color: str = INK, align: str = "left", **style: Any) -> alt.Chart:
    """Write a text at a place in pixels."""
    return (
        alt.Chart(inline([{"text": text}]))
        .mark_text(align=align, color=color, **style)
        .encode(x=alt.value(x), y=alt.value(y), text="text:N")
    )
