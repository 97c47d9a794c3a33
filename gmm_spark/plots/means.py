"""The components' means as a heat map: how far each is from the mixture's, in standard deviations of the feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from gmm_spark.core.arrays import Array
from gmm_spark.core.formatting import say_share, show_number
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline
from gmm_spark.plots.palette import ABOVE, BELOW, INK, MIDDLE
from gmm_spark.plots.raster import paint_signed
from gmm_spark.plots.words import feature_names, listing, shorten

_FEW = 8  # components up to which figures stand in the cells
_CELLS = 200  # rectangles at most; more are one image
_LIMITS = 1.0, 3.0  # standard deviations where the colours end, at least and at most
_BLUE, _ORANGE, _OPACITY = "#1877be", "#de6818", 0.78  # the ends of the scale, see palette


def draw_means(parameters: MixtureParameters, names: Sequence[str] | None = None) -> Figure:
    """Draw each component's means, standardised: from the mixture's mean, in the mixture's standard deviations.

    Features in which the components differ most come first.

    Parameters
    ----------
    parameters : MixtureParameters
    names : sequence of d str, optional
        Of the features.

    Returns
    -------
    Figure
        Its table has ``feature``, ``component``, ``mean``, ``standardised``.
    """
    table = tabulate(parameters, feature_names(names, parameters.n_features))
    return Figure("means", "Means of the components, standardised", read(table), table, _chart(table))


def standardise(parameters: MixtureParameters) -> Array:
    """Return how far each mean is from the mixture's, in standard deviations of the mixture, (k, d)."""
    mean, variance = parameters.moments()
    return np.asarray((parameters.means - mean) / np.sqrt(variance))


def tabulate(parameters: MixtureParameters, names: Sequence[str]) -> pd.DataFrame:
    """List the means, feature by feature, those first in which the components differ most."""
    far = standardise(parameters)
    k = parameters.n_components
    separation = parameters.weights @ far**2  # the share of a feature's variance that lies between components
    order = np.argsort(-separation, kind="stable")
    return pd.DataFrame(
        {
            "feature": [names[j] for j in order for _ in range(k)],
            "component": list(range(k)) * len(order),
            "mean": parameters.means[:, order].T.ravel(),
            "standardised": far[:, order].T.ravel(),
            "between": np.repeat(separation[order], k),
        }
    )


def read(table: pd.DataFrame) -> str:
    """Say which features the components differ in, and where the farthest mean is."""
    k = table["component"].nunique()
    if k == 1:
        return "There is one component, so its means are the mixture's."
    features = table.drop_duplicates("feature")
    apart = [str(name) for name in features.loc[features["between"] >= 0.5, "feature"]]
    farthest = table.iloc[int(table["standardised"].abs().argmax())]
    side = "above" if farthest["standardised"] > 0 else "below"
    end = (
        f"Farthest is component {farthest['component']}, {show_number(abs(farthest['standardised']), 3)} standard "
        f"deviations {side} the mean of {farthest['feature']}."
    )
    first = features.iloc[0]
    if not apart:
        return (
            f"The components differ little in their means: at most {say_share(first['between'])} of a feature's "
            f"variance lies between them, that of {first['feature']}. {end}"
        )
    shown = apart if len(apart) <= 4 else [*apart[:3], f"{len(apart) - 3} more"]
    return f"At least half of the variance of {listing(shown)} lies between components. {end}"


def _chart(table: pd.DataFrame) -> alt.Chart:
    k, d = table["component"].nunique(), table["feature"].nunique()
    limit = float(np.clip(np.ceil(2 * table["standardised"].abs().max()) / 2, *_LIMITS))
    return _cells(table, k, d, limit) if k * d <= _CELLS else _image(table, k, d, limit)


def _height(k: int, d: int) -> float:
    """Return the height of a row: of one feature."""
    return 24.0 if k <= _FEW and d <= 12 else 15.0


def _choose_labels(k: int) -> list[int]:
    """Choose the components whose numbers stand at the axis: no more than have room."""
    return list(range(0, k, -(-k // 12)))


def _axis_of_components(**more: Any) -> alt.Axis:
    return alt.Axis(title="component", labelAngle=0, ticks=False, domain=False, orient="top", **more)


def _axis_of_features(names: list[str], height: float) -> alt.Y:
    # Names that are cut may be alike: rows are told apart by their place, and the axis shows the names.
    shown = ["'" + shorten(name, 18).replace("\\", "\\\\").replace("'", "\\'") + "'" for name in names]
    return alt.Y(
        "row:O",
        axis=alt.Axis(
            title=None, ticks=False, domain=False, labelExpr=f"[{','.join(shown)}][datum.value]", labelOverlap=False
        ),
    )


def _cells(table: pd.DataFrame, k: int, d: int, limit: float) -> alt.Chart:
    names = list(dict.fromkeys(table["feature"]))
    rows = [
        {"row": i // k, "component": str(c), "z": z, "shown": f"{z:+.1f}".replace("-", "−") if abs(z) >= 0.05 else "0"}
        for i, (c, z) in enumerate(zip(table["component"], table["standardised"], strict=True))
    ]
    height = _height(k, d)
    base = alt.Chart(inline(rows)).encode(
        x=alt.X("component:N", sort=None, axis=_axis_of_components(values=[str(c) for c in _choose_labels(k)])),
        y=_axis_of_features(names, height),
    )
    cells = base.mark_rect().encode(color=alt.Color("z:Q", scale=_scale(limit), legend=_legend(limit)))
    width = min(WIDTH * 0.78, 60.0 * k)
    chart: alt.Chart = cells
    if k <= _FEW:
        chart = cells + base.mark_text(color=INK, fontSize=11).encode(text="shown:N")
    return chart.properties(width=width, height=height * d)


def _image(table: pd.DataFrame, k: int, d: int, limit: float) -> alt.Chart:
    names = list(dict.fromkeys(table["feature"]))
    values = table["standardised"].to_numpy().reshape(d, k)
    url = paint_signed(_BLUE, _ORANGE, _OPACITY * values / limit)
    height = _height(k, d)
    picture = (
        alt.Chart(inline([{"url": url}]))
        .mark_image(aspect=False, smooth=False, align="left", baseline="top", width=WIDTH * 0.78, height=height * d)
        .encode(x=alt.value(0), y=alt.value(0), url="url:N")
    )
    shown = _choose_labels(k)
    frame = (
        alt.Chart(inline({"row": i, "z": 0.0, "component": c} for i in range(d) for c in (range(k) if i == 0 else [0])))
        .mark_rect(opacity=0)
        .encode(
            x=alt.X("component:O", axis=_axis_of_components(values=shown)),
            y=_axis_of_features(names, height),
            color=alt.Color("z:Q", scale=_scale(limit), legend=_legend(limit)),
        )
    )
    return (picture + frame).properties(width=WIDTH * 0.78, height=height * d)


def _scale(limit: float) -> alt.Scale:
    return alt.Scale(domain=[-limit, 0, limit], range=[BELOW, MIDDLE, ABOVE], clamp=True)


def _legend(limit: float) -> alt.Legend:
    return alt.Legend(
        title="standard deviations from the mean",
        values=[-limit, 0, limit],
        labelExpr="datum.value == 0 ? '0' : format(datum.value, '+.2~f')",
        gradientLength=180,
        gradientThickness=10,
        orient="bottom",
    )
