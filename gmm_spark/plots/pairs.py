"""All pairs of some features: rows as shades and components as ellipses, with each feature's histogram between them."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from gmm_spark.core.formatting import show_number, show_short
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError
from gmm_spark.plots.components import Colours
from gmm_spark.plots.ellipses import MOST, cut, take_plane, trace
from gmm_spark.plots.figure import Figure
from gmm_spark.plots.histogram import tabulate
from gmm_spark.plots.marks import inline
from gmm_spark.plots.means import standardise
from gmm_spark.plots.pair import Plane
from gmm_spark.plots.palette import DENSITY, INK, LINE, MUTED
from gmm_spark.plots.shading import paint_rows
from gmm_spark.plots.words import find_feature, listing, shorten

_WHOLE, _LARGEST, _GAP = 344.0, 150.0, 8.0
_LETTER = 5.0  # width of one in a label, pixels
_FEATURES = 5  # by default: more are too small on a phone


def draw_pairs(
    parameters: MixtureParameters, portrait: Portrait, features: Sequence[str | int] | None = None
) -> Figure:
    """Draw the matrix of pairs of features: shades of the rows, ellipses of the components, histograms between them.

    An ellipse holds 90 % of its component's rows. Of more than six components the six heaviest are drawn.

    Parameters
    ----------
    parameters : MixtureParameters
    portrait : Portrait
    features : sequence of str or int, optional
        Of those that the portrait counts in pairs; by default the five in which the components differ most.

    Returns
    -------
    Figure
        Its table has ``x``, ``y`` and the ``correlation`` that the mixture has of the two over all rows.

    Raises
    ------
    ParameterError
        If the portrait has not counted rows in two of the features.
    """
    shown = _choose(parameters, portrait, features)
    planes = {(i, j): Plane.of(portrait, shown[i], shown[j]) for j in range(len(shown)) for i in range(j)}
    names = [portrait.feature_names[j] for j in shown]
    table = tabulate_pairs(parameters, shown, names)
    chart = _chart(parameters, portrait, shown, names, planes)
    reading = read(table, names, len(portrait.feature_names))
    colours = Colours.of(parameters.weights)
    if any(plane.find_cut(*take_plane(parameters, plane.x, plane.y), colours.coloured) for plane in planes.values()):
        reading += " Ellipses that end at an edge go on beyond it."
    return Figure("pairs", "Pairs of features", reading, table, chart)


def _choose(parameters: MixtureParameters, portrait: Portrait, features: Sequence[str | int] | None) -> list[int]:
    if features is not None:
        if not features:
            raise ParameterError("got no features; need one at least")
        return [find_feature(portrait.feature_names, feature) for feature in features]
    between = parameters.weights @ standardise(parameters) ** 2
    shown = sorted(portrait.frame.shown, key=lambda j: -between[j])[:_FEATURES]
    return sorted(shown)


def tabulate_pairs(parameters: MixtureParameters, shown: Sequence[int], names: Sequence[str]) -> pd.DataFrame:
    """List the pairs with the correlation that the mixture gives them: within and between components."""
    mean, variance = parameters.moments()
    rows = []
    for second in range(len(shown)):
        for first in range(second):
            i, j = shown[first], shown[second]
            means, covariances = take_plane(parameters, i, j)
            away = means - mean[[i, j]]
            together = float(parameters.weights @ (covariances[:, 0, 1] + away[:, 0] * away[:, 1]))
            rows.append((names[first], names[second], together / float(np.sqrt(variance[i] * variance[j]))))
    return pd.DataFrame(rows, columns=["x", "y", "correlation"])


def read(table: pd.DataFrame, names: Sequence[str], d: int) -> str:
    """Say which features are shown, and which two go together most."""
    if table.empty:
        return f"There is one feature, {names[0]}."
    strongest = table.iloc[int(table["correlation"].abs().argmax())]
    which = f"{len(names)} of {d} features are shown. " if len(names) < d else ""
    first, second, value = strongest["x"], strongest["y"], float(strongest["correlation"])
    if abs(value) < 0.3 and len(table) == 1:
        return f"{which}{first} and {second} are hardly correlated over all rows: {show_number(value, 2)}."
    if abs(value) < 0.3:
        return f"{which}No two of {listing(list(names))} are correlated by more than {show_number(abs(value), 2)}."
    return f"{which}The strongest correlation over all rows is {show_number(value, 2)}, of {first} and {second}."


def _chart(
    parameters: MixtureParameters,
    portrait: Portrait,
    shown: Sequence[int],
    names: Sequence[str],
    planes: dict[tuple[int, int], Plane],
) -> alt.LayerChart:
    """Draw the lower triangle; all places are in pixels, since one view is a fraction of what many are."""
    n = len(shown)
    cell = min(_WHOLE / n, _LARGEST)
    side = cell - _GAP
    colours = Colours.of(parameters.weights)
    layers: list[alt.Chart] = []
    lines: list[dict[str, str | float]] = []
    for (i, j), plane in planes.items():
        layers.append(paint_rows(plane.inner, i * cell, j * cell, side, side))
        lines += _trace_components(parameters, plane, colours, i * cell, j * cell, side)
    corners = [(i * cell, j * cell) for j in range(n) for i in range(j + 1)]
    layers.append(_draw_frames(corners, side))
    layers += _draw_diagonal(parameters, portrait, shown, cell, side)
    if lines:
        layers.append(
            alt.Chart(inline(lines))
            .mark_line(strokeWidth=1.5)
            .encode(
                **_in_pixels(),
                detail="line:N",
                order=alt.Order("step:Q"),
                color=alt.Color("colour:N", scale=None, legend=None),
            )
        )
    layers += _write_names(portrait, shown, names, cell, side)
    if parameters.n_components > 1:
        layers.append(_write_components(colours, n, cell))
    return alt.layer(*layers).properties(width=n * cell, height=n * cell)


def _in_pixels() -> dict[str, alt.X | alt.Y]:
    return {"x": alt.X("x:Q", scale=None, axis=None), "y": alt.Y("y:Q", scale=None, axis=None)}


def _trace_components(
    parameters: MixtureParameters, plane: Plane, colours: Colours, left: float, top: float, side: float
) -> list[dict[str, str | float]]:
    means, covariances = take_plane(parameters, plane.x, plane.y)
    rows: list[dict[str, str | float]] = []
    for i in reversed(colours.coloured):
        # A line for each piece that is inside: without a scale, a missing value would be drawn at 0.
        for number, piece in enumerate(cut(plane.scale(trace(means[i], covariances[i], MOST, 40)))):
            for step, (x, y) in enumerate(piece.tolist()):
                line = f"{plane.x} {plane.y} {i} {number}"
                place = {"x": left + side * x, "y": top + side * (1 - y)}
                rows.append({**place, "step": step, "line": line, "colour": colours[i]})
    return rows


def _draw_frames(corners: Sequence[tuple[float, float]], side: float) -> alt.Chart:
    return (
        alt.Chart(inline({"x": x, "y": y, "x2": x + side, "y2": y + side} for x, y in corners))
        .mark_rect(fillOpacity=0, stroke=LINE, strokeWidth=1, color=LINE)
        .encode(**_in_pixels(), x2="x2:Q", y2="y2:Q")
    )


def _draw_diagonal(
    parameters: MixtureParameters, portrait: Portrait, shown: Sequence[int], cell: float, side: float
) -> list[alt.Chart]:
    """Draw the histograms and the mixture's curves, both below the names; a bar that is far above the rest is cut."""
    bars, curves = [], []
    room = side - 17
    for place, j in enumerate(shown):
        table = tabulate(parameters, portrait, j).iloc[1:-1]
        # Every two bins as one: more are not seen at this size.
        observed, modelled = (table[name].to_numpy().reshape(-1, 2).sum(axis=1) for name in ("observed", "modelled"))
        top = max(float(modelled.max()) * 1.2, float(np.sort(observed)[-2])) or 1.0
        left, floor = place * cell, place * cell + side
        step = side / len(observed)
        heights = [*(floor - room * np.minimum(observed / top, 1)), floor]
        bars += [{"x": left + i * step, "y": y, "y2": floor, "line": place} for i, y in enumerate(heights)]
        curves += [
            {"x": left + (i + 0.5) * step, "y": floor - room * min(value / top, 1), "line": place}
            for i, value in enumerate(modelled)
        ]
    area = alt.Chart(inline(bars)).mark_area(interpolate="step-after", color=DENSITY, opacity=0.5)
    return [
        area.encode(**_in_pixels(), y2="y2:Q", detail="line:N"),
        alt.Chart(inline(curves)).mark_line(color=INK, strokeWidth=1.3).encode(**_in_pixels(), detail="line:N"),
    ]


def _write_names(
    portrait: Portrait, shown: Sequence[int], names: Sequence[str], cell: float, side: float
) -> list[alt.Chart]:
    """Write the names in the diagonal, and the ends of each scale below its column."""
    edges = portrait.frame.pair_edges[list(shown)]
    n = len(shown)
    titles, lows, highs = [], [], []
    for i, name in enumerate(names):
        titles.append({"text": shorten(name, max(int(side / 6.2), 6)), "x": i * cell + 3, "y": i * cell + 9})
        low, high = show_short(edges[i, 0]), show_short(edges[i, -1])
        beside = _LETTER * (len(low) + len(high) + 1) <= side  # else one is below the other
        lows.append({"text": low, "x": i * cell, "y": n * cell + 6})
        highs.append({"text": high, "x": i * cell + side, "y": n * cell + (6 if beside else 18)})
    return [
        alt.Chart(inline(rows)).mark_text(align=align, baseline="middle", **style).encode(**_in_pixels(), text="text:N")
        for rows, align, style in (
            (titles, "left", {"fontWeight": "bold", "fontSize": 11}),
            (lows, "left", {"color": MUTED, "fontSize": 9.5}),
            (highs, "right", {"color": MUTED, "fontSize": 9.5}),
        )
    ]


def _write_components(colours: Colours, n: int, cell: float) -> alt.Chart:
    """Write the components' numbers in their colours: in the empty corner, or above if there is none."""
    said = [("component", MUTED), *((str(i), colours[i]) for i in sorted(colours.coloured))]
    rows, x = [], cell + 8.0 if n > 1 else 0.0
    y = 8.0 if n > 1 else -10.0
    for text, colour in said:
        rows.append({"text": text, "colour": colour, "x": x, "y": y})
        x += 6.5 * len(text) + 8
    if colours.others:
        rows.append({"text": f"{colours.others} others are not drawn", "colour": MUTED, "x": rows[0]["x"], "y": y + 15})
    return (
        alt.Chart(inline(rows))
        .mark_text(align="left", baseline="middle", fontWeight="bold")
        .encode(**_in_pixels(), text="text:N", color=alt.Color("colour:N", scale=None, legend=None))
    )
