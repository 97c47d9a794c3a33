"""Two features: the rows as shades, the components as ellipses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from gmm_spark.core.arrays import Array
from gmm_spark.core.formatting import say_share
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError
from gmm_spark.plots.components import Colours, label_points, write_key
from gmm_spark.plots.ellipses import HALF, MOST, find_inside, take_plane, trace
from gmm_spark.plots.figure import Figure
from gmm_spark.plots.marks import inline, value_axis
from gmm_spark.plots.palette import INK, MUTED
from gmm_spark.plots.shading import paint_rows, paint_scale
from gmm_spark.plots.words import find_feature, listing, shorten

_SIZE = 290.0
_FEW = 0.87  # of the rows in ellipses for 90 %: fewer than bins and chance explain


@dataclass(frozen=True, eq=False)
class Plane:
    """Two features of a portrait.

    Attributes
    ----------
    x, y : int
        Features.
    x_edges, y_edges : array (33,)
        Of the inner bins.
    counts : array (34, 34)
        Rows that have both by bins of x and y; the outer ones are open.
    lacking : float
        Share of the rows that do not have both.
    """

    x: int
    y: int
    x_edges: Array
    y_edges: Array
    counts: Array
    lacking: float = 0.0

    @classmethod
    def of(cls, portrait: Portrait, x: int, y: int) -> Plane:
        """Take two features of a portrait, in either order.

        Raises
        ------
        ParameterError
            If the portrait has not counted rows in these two.
        """
        pairs = portrait.frame.pairs
        flipped = (x, y) not in pairs
        if flipped and (y, x) not in pairs:
            names = portrait.feature_names
            there = listing([names[i] for i in portrait.frame.shown]) if pairs else "none"
            raise ParameterError(f"the portrait has no pair of {names[x]} and {names[y]}; need two of {there}")
        counts = portrait.pair_histograms[pairs.index((y, x) if flipped else (x, y))]
        edges, lacking = portrait.frame.pair_edges, 0.0
        if portrait.observed is not None:
            lacking = max(0.0, 1 - float(counts.sum()) / portrait.weight_sum)
        return cls(x, y, edges[x], edges[y], counts.T if flipped else counts, lacking)

    @property
    def inner(self) -> Array:
        """Rows in the inner bins, (32, 32)."""
        return self.counts[1:-1, 1:-1]

    @property
    def outside(self) -> float:
        """Share of the rows that lie outside the inner bins."""
        return float(max(0.0, 1 - self.inner.sum() / self.counts.sum()))

    def scale(self, points: Array) -> Array:
        """Return points (n, 2) as shares of the inner bins' ranges: from 0 to 1 if they are in the picture."""
        low, high = (np.array([edges[at] for edges in (self.x_edges, self.y_edges)]) for at in (0, -1))
        return np.asarray((points - low) / (high - low))

    def find_cut(self, means: Array, covariances: Array, components: Iterable[int]) -> list[int]:
        """Find the components whose ellipse for most rows goes on outside the picture."""
        reach = np.sqrt(-2 * np.log1p(-MOST) * np.diagonal(covariances, axis1=1, axis2=2))
        ends = np.concatenate([self.scale(means - reach), 1 - self.scale(means + reach)], axis=1)
        return [i for i in components if (ends[i] < 0).any()]


def draw_pair(parameters: MixtureParameters, portrait: Portrait, x: str | int, y: str | int) -> Figure:
    """Draw all rows in two features as shades, and the components as ellipses over them.

    An ellipse holds 90 % of its component's rows, and the thin one half of them. Of more than six components the six
    heaviest have colours and numbers; each of the others is one grey ellipse, for half of its rows.

    Parameters
    ----------
    parameters : MixtureParameters
    portrait : Portrait
    x, y : str or int
        Two of the features that the portrait counts in pairs, ``portrait.frame.shown``: names or indices.

    Returns
    -------
    Figure
        Its table has a component's ``weight``, means, standard deviations and ``correlation`` in the two features.

    Raises
    ------
    ParameterError
        If the portrait has not counted rows in these two, or no row has both.
    """
    names = portrait.feature_names
    plane = Plane.of(portrait, find_feature(names, x), find_feature(names, y))
    if plane.lacking == 1:
        raise ParameterError(f"no row of the portrait has both {names[plane.x]} and {names[plane.y]}")
    means, covariances = take_plane(parameters, plane.x, plane.y)
    spreads = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    first, second = names[plane.x], names[plane.y]
    table = pd.DataFrame(
        {
            "component": range(len(means)),
            "weight": parameters.weights,
            f"mean {first}": means[:, 0],
            f"mean {second}": means[:, 1],
            f"sd {first}": spreads[:, 0],
            f"sd {second}": spreads[:, 1],
            "correlation": covariances[:, 0, 1] / spreads.prod(axis=1),
        }
    )
    reading = read(plane, means, covariances, (first, second))
    if beyond := plane.find_cut(means, covariances, sorted(Colours.of(parameters.weights).coloured)):
        goes = "The ellipse of component" if len(beyond) == 1 else "The ellipses of components"
        on = "goes" if len(beyond) == 1 else "go"
        reading += f" {goes} {listing([str(i) for i in beyond])} {on} on outside the picture."
    chart = _chart(parameters, plane, means, covariances, (first, second))
    return Figure("pair", f"{first} and {second}", reading, table, chart)


def read(plane: Plane, means: Array, covariances: Array, names: tuple[str, str]) -> str:
    """Say how much of the rows the ellipses hold, and which components lie over each other in these features."""
    x, y = ((edges[1:] + edges[:-1]) / 2 for edges in (plane.x_edges, plane.y_edges))
    points = np.array(np.meshgrid(x, y, indexing="ij")).reshape(2, -1).T
    held = plane.inner.ravel()[find_inside(means, covariances, points, MOST)].sum() / plane.counts.sum()
    k = len(means)
    whose = "the ellipse" if k == 1 else "an ellipse"
    said = [f"About {say_share(held)} of the rows lie in {whose} that holds {say_share(MOST)} of its component"]
    if held < _FEW:
        said[0] += ", fewer than there should be"
    if plane.outside > 0:
        said.append(f"{_capitalise(say_share(plane.outside))} lie outside the picture")
    if plane.lacking > 0:
        said.append(f"{_capitalise(say_share(plane.lacking))} of all rows lack one of the two, and are left out")
    alike = _find_alike(means, covariances)
    if alike:
        pairs = "; ".join(f"{i} and {j}" for i, j in alike[:3])
        more = f"; and {len(alike) - 3} more pairs" if len(alike) > 3 else ""
        said.append(f"In these two features components look alike: {pairs}{more}")
    return ". ".join(said) + "."


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def _find_alike(means: Array, covariances: Array) -> list[tuple[int, int]]:
    """List components that overlap by more than 0.8 (Bhattacharyya's coefficient), the closest first."""
    first, second = np.triu_indices(len(means), 1)
    middle = (covariances[first] + covariances[second]) / 2
    size = np.sqrt(np.diagonal(middle, axis1=1, axis2=2))
    away = (means[first] - means[second]) / size
    scaled = middle / (size[:, :, None] * size[:, None, :])
    distance = np.einsum("pi,pi->p", away, np.linalg.solve(scaled, away[:, :, None])[:, :, 0]) / 8
    logs = np.linalg.slogdet(covariances)[1]
    distance += (np.linalg.slogdet(middle)[1] - (logs[first] + logs[second]) / 2) / 2
    order = np.argsort(distance, kind="stable")
    return [(int(first[p]), int(second[p])) for p in order if np.exp(-distance[p]) > 0.8]


def _chart(
    parameters: MixtureParameters, plane: Plane, means: Array, covariances: Array, names: tuple[str, str]
) -> alt.LayerChart:
    colours = Colours.of(parameters.weights)
    x, y = (
        axis(
            f"{letter}:Q",
            scale=alt.Scale(domain=[edges[0], edges[-1]], nice=False, zero=False),
            axis=value_axis(shorten(name, 40), list(edges), 5),
        )
        for axis, letter, edges, name in (
            (alt.X, "x", plane.x_edges, names[0]),
            (alt.Y, "y", plane.y_edges, names[1]),
        )
    )
    lines = alt.Chart(inline(_trace_all(parameters.weights, means, covariances, colours)))
    ellipses = lines.mark_line(clip=True).encode(
        x=x,
        y=y,
        detail="line:N",
        order=alt.Order("step:Q"),
        color=alt.Color("colour:N", scale=None, legend=None),
        strokeWidth=alt.StrokeWidth("width:Q", scale=None, legend=None),
    )
    layers = [paint_rows(plane.inner, 0, 0, _SIZE, _SIZE), ellipses]
    labelled = [(i, place) for i in colours.coloured if (place := _place(means[i], plane)) is not None]
    if len(means) > 1:
        who = [i for i, _ in labelled]
        layers.append(label_points([str(i) for i in who], [colours[i] for i in who], [place for _, place in labelled]))
    most = float(plane.inner.max() / plane.counts.sum())
    layers += [
        paint_scale(0, -17),
        write_key([(f"rows, up to {say_share(most)} in a cell", MUTED)], y=-12, x=78),
    ]
    if colours.others:
        layers.append(write_key([("numbered: the heaviest", INK), (f"grey: {colours.others} others", MUTED)], y=-28))
    return alt.layer(*layers).properties(width=_SIZE, height=_SIZE)


def _trace_all(weights: Array, means: Array, covariances: Array, colours: Colours) -> list[dict[str, str | float]]:
    """List the points of all ellipses, those of the heaviest components last, on top."""
    rows: list[dict[str, str | float]] = []
    for i in np.argsort(weights, kind="stable").tolist():
        own = i in colours.coloured
        for level in (MOST, HALF) if own else (HALF,):
            width = 2.2 if own and level == MOST else 1.2
            for step, (x, y) in enumerate(trace(means[i], covariances[i], level, 60 if own else 30)):
                rows.append(
                    {"x": x, "y": y, "step": step, "line": f"{i} {level}", "colour": colours[i], "width": width}
                )
    return rows


def _place(mean: Array, plane: Plane) -> tuple[float, float] | None:
    """Return where a mean lies in pixels; None if it is outside the picture."""
    shares = [
        (value - edges[0]) / (edges[-1] - edges[0])
        for value, edges in zip(mean, (plane.x_edges, plane.y_edges), strict=True)
    ]
    if not all(0 <= one <= 1 for one in shares):
        return None
    return float(_SIZE * shares[0]), float(_SIZE * (1 - shares[1]))
