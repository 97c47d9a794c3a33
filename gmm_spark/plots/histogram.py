"""One feature: the histogram of all rows, each component's curve, and their sum."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from gmm_spark.core.arrays import Array
from gmm_spark.core.description.fit import judge_feature
from gmm_spark.core.formatting import say_share
from gmm_spark.core.mixture.marginals import component_cdf, noise_cdf
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.core.portrait.portrait import Portrait
from gmm_spark.errors import ParameterError
from gmm_spark.plots.components import Colours, label_points, write_key
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline, value_axis, write
from gmm_spark.plots.palette import DENSITY, INK, MUTED
from gmm_spark.plots.words import find_feature, shorten

_HEIGHT = 190
_SPIKE = 2.0  # times what else there is, that the highest bar may reach before it is cut
_SEEN = 0.002  # of the height, from which a curve is told from the axis


def draw_histogram(parameters: MixtureParameters, portrait: Portrait, feature: str | int) -> Figure:
    """Draw the histogram of all rows in a feature, with the curves of the components and their sum.

    A curve is what the mixture expects in each bin. Of more than six components the six heaviest have curves of their
    own, and the others one together. A bar far above all else is cut, and its height written. If values are missing,
    the rows are those that have the feature, and the curves are of the components as they are among these.

    Parameters
    ----------
    parameters : MixtureParameters
    portrait : Portrait
    feature : str or int
        Its name or index.

    Returns
    -------
    Figure
        Its table has ``from``, ``to``, the shares ``observed`` and ``modelled`` of the bins, the first and last of
        which are open, and a column for each component.

    Raises
    ------
    ParameterError
        If there is no such feature, or no row has it.
    """
    j = find_feature(portrait.feature_names, feature)
    table = tabulate(parameters, portrait, j)
    name = portrait.feature_names[j]
    observed, modelled = table["observed"].to_numpy(), table["modelled"].to_numpy()
    missing = 0.0 if portrait.observed is None else float(portrait.observed.missing[j])
    fit = judge_feature(j, name, observed, modelled, portrait.frame.edges[j], portrait.rows, missing)
    return Figure("histogram", name, fit.sentence, table, _chart(table, parameters.weights, name))


def tabulate(parameters: MixtureParameters, portrait: Portrait, j: int) -> pd.DataFrame:
    """List the bins of a feature, with the share of the rows in each and what the components expect there."""
    counts = portrait.histograms[j]
    if not counts.sum() > 0:
        raise ParameterError(f"no row of the portrait has {portrait.feature_names[j]}: there is nothing to draw")
    weights = parameters.class_weights if portrait.observed is None else portrait.observed.weigh_classes([j])
    edges = np.array([-np.inf, *portrait.frame.edges[j], np.inf])
    below = component_cdf(_take_feature(parameters, j), edges[None])[:, 0]
    expected = np.diff(weights[: parameters.n_components, None] * below, axis=1)  # (k, bins)
    of_noise = np.zeros(expected.shape[1])
    if parameters.noise is not None:
        noise = parameters.noise.of_features([j])
        of_noise = weights[-1] * np.diff(noise_cdf(noise, edges[None])[0])
    observed = counts / counts.sum()
    columns = {f"component {i}": expected[i] for i in range(len(expected))}
    if parameters.noise is not None:
        columns["noise"] = of_noise
    modelled = expected.sum(axis=0) + of_noise
    return pd.DataFrame({"from": edges[:-1], "to": edges[1:], "observed": observed, "modelled": modelled, **columns})


def _take_feature(parameters: MixtureParameters, j: int) -> MixtureParameters:
    """Return the mixture's marginal in one feature."""
    variances = parameters.deviations[:, j : j + 1] ** 2
    noise = None if parameters.noise is None else parameters.noise.of_features([j])
    return MixtureParameters(parameters.weights, parameters.means[:, j : j + 1], variances, "diag", noise)


def _chart(table: pd.DataFrame, weights: Array, name: str) -> alt.LayerChart:
    colours = Colours.of(weights)
    inner = table.iloc[1:-1]
    edges = np.append(inner["from"], inner["to"].iloc[-1])
    centres = (edges[1:] + edges[:-1]) / 2
    observed, modelled = inner["observed"].to_numpy(), inner["modelled"].to_numpy()
    top = _find_top(observed, modelled)
    scale_x = alt.Scale(domain=[edges[0], edges[-1]], nice=False, zero=False)
    x = alt.X(
        "at:Q",
        scale=scale_x,
        axis=value_axis(shorten(name, 40), list(edges), 6),
    )
    y = alt.Y(
        "percent:Q",
        scale=alt.Scale(domain=[0, 100 * top], nice=False, clamp=True),
        axis=alt.Axis(title="% of rows in a bin", tickCount=4),
    )
    bars = alt.Chart(inline({"at": a, "percent": 100 * p} for a, p in zip(edges, [*observed, 0.0], strict=True)))
    curves = [
        {"at": at, "percent": 100 * value, "line": f"{i}", "colour": colours[i]}
        for i in colours.coloured
        for at, value in zip(centres, inner[f"component {i}"], strict=True)
        if value > _SEEN * top
    ]
    if colours.others:
        rest = [i for i in range(len(weights)) if i not in colours.coloured]
        together = inner[[f"component {i}" for i in rest]].sum(axis=1)
        curves += [
            {"at": at, "percent": 100 * value, "line": "others", "colour": MUTED}
            for at, value in zip(centres, together, strict=True)
        ]
    layers = [bars.mark_area(interpolate="step-after", color=DENSITY, opacity=0.45).encode(x=x, y=y)]
    key = [("■ rows", DENSITY), ("— mixture", INK)]
    if len(weights) > 1:
        color = alt.Color("colour:N", scale=None, legend=None)
        layers.append(
            alt.Chart(inline(curves)).mark_line(strokeWidth=1.6).encode(x=x, y=y, detail="line:N", color=color)
        )
        key.append(("numbered: components", MUTED))
    if colours.others:
        key.append((f"grey: {colours.others} others", MUTED))
    total = alt.Chart(inline({"at": a, "percent": 100 * p} for a, p in zip(centres, modelled, strict=True)))
    layers.append(total.mark_line(strokeWidth=2, color=INK).encode(x=x, y=y))
    if len(weights) > 1:
        layers.append(_label_peaks(inner, colours, top))
    layers += _mark_cut(observed, top, edges)
    layers.append(write_key(key, y=-12))
    return alt.layer(*layers).properties(width=WIDTH, height=_HEIGHT)


def _find_top(observed: Array, modelled: Array) -> float:
    """Return where the scale ends: above all bars and curves, unless one bar is far above the rest."""
    ordered = np.sort(observed)
    rest = max(float(modelled.max()), float(ordered[-2]))
    highest = float(ordered[-1])
    return 1.12 * (rest if highest > _SPIKE * rest > 0 else max(highest, rest)) or 1.0


def _mark_cut(observed: Array, top: float, edges: Array) -> list[alt.Chart]:
    """Write how high the bar is that is cut, if one is."""
    cut = int(observed.argmax())
    if observed[cut] <= top:
        return []
    place = WIDTH * (cut + 0.5) / len(observed)
    right = place > WIDTH / 2
    text = f"{say_share(float(observed[cut]))} ▴" if right else f"▴ {say_share(float(observed[cut]))}"
    return [write(text, place + (5 if right else -5), 6, color=MUTED, align="right" if right else "left", fontSize=11)]


def _label_peaks(inner: pd.DataFrame, colours: Colours, top: float) -> alt.LayerChart:
    places, shown = [], []
    for i in colours.coloured:
        curve = inner[f"component {i}"].to_numpy()
        peak = int(curve.argmax())
        if curve[peak] > 2 * _SEEN * top:  # else it lies on the axis
            shown.append(i)
            height = _HEIGHT * (1 - min(curve[peak] / top, 1.0))
            places.append((WIDTH * (peak + 0.5) / len(curve), max(height - 8, 6.0)))
    return label_points([str(i) for i in shown], [colours[i] for i in shown], places, size=11.5)
