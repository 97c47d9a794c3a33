"""How components are drawn in every figure: the heaviest in colours, with their numbers; many others in grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from gmm_spark.core.arrays import Array
from gmm_spark.plots.marks import inline
from gmm_spark.plots.palette import MUTED, SERIES, SURFACE

_LETTER, _LINE = 8.0, 13.0  # width of a digit and height of a line, pixels


@dataclass(frozen=True)
class Colours:
    """The colour of each component.

    Attributes
    ----------
    coloured : tuple of int
        Components that have a colour of their own, heaviest first: all if there are few, else six.
    others : int
        Number of those that have none.
    """

    coloured: tuple[int, ...]
    others: int

    @classmethod
    def of(cls, weights: Array) -> Colours:
        """Give colours to the heaviest components."""
        order = np.argsort(-weights, kind="stable")[: len(SERIES)]
        return cls(tuple(int(i) for i in order), len(weights) - len(order))

    def __getitem__(self, component: int) -> str:
        """Return the colour of a component; grey if it has none of its own."""
        # By number, not by weight: the same component of a mixture fitted again then keeps its colour more often.
        places = {one: place for place, one in enumerate(sorted(self.coloured))}
        return SERIES[places[component]] if component in places else MUTED


def label_points(
    labels: Sequence[str], colours: Sequence[str], places: Sequence[tuple[float, float]], size: float = 12.0
) -> alt.LayerChart:
    """Write labels at places in pixels, moved up if they would cover others, each with an edge of the page's colour."""
    rows = []
    taken: list[tuple[float, float, float]] = []
    for label, colour, (x, y) in zip(labels, colours, places, strict=True):
        half = _LETTER * len(label) / 2 + 1
        place = y
        while any(abs(x - other) < half + wide and abs(place - height) < _LINE for other, height, wide in taken):
            place -= 2
        taken.append((x, place, half))
        rows.append({"text": label, "colour": colour, "x": x, "y": place})
    base = alt.Chart(inline(rows)).encode(
        x=alt.X("x:Q", scale=None, axis=None), y=alt.Y("y:Q", scale=None, axis=None), text="text:N"
    )
    edge = base.mark_text(
        fontSize=size, fontWeight="bold", color=SURFACE, stroke=SURFACE, strokeWidth=3.5, strokeJoin="round"
    )
    text = base.mark_text(fontSize=size, fontWeight="bold").encode(color=alt.Color("colour:N", scale=None, legend=None))
    return edge + text


def write_key(parts: Sequence[tuple[str, str]], y: float = -10.0, x: float = 0.0) -> alt.Chart:
    """Write the key of a figure above it: words in the colours of what they name."""
    rows = []
    for text, colour in parts:
        rows.append({"text": text, "colour": colour, "x": x})
        x += 6.3 * len(text) + 12
    return (
        alt.Chart(inline(rows))
        .mark_text(align="left", baseline="middle", fontSize=11.5)
        .encode(
            x=alt.X("x:Q", scale=None, axis=None),
            y=alt.value(y),
            text="text:N",
            color=alt.Color("colour:N", scale=None, legend=None),
        )
    )
