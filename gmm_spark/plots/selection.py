"""The mixtures that a selector tried: the criterion by k, one line for each covariance structure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from gmm_spark.core.formatting import show_number
from gmm_spark.errors import ParameterError
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline, label_ends, spread, write
from gmm_spark.plots.palette import ACCENT, MUTED, SERIES
from gmm_spark.plots.shortfall import Shortfalls

if TYPE_CHECKING:
    from gmm_spark.ml.comparison import Selection, SelectionRow

_WIDTH, _HEIGHT = WIDTH * 0.82, 220
_ROOM = 30  # below the zero of the scale, for what is written under the chosen mixture
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right")
_NAMES = {"bic": "BIC", "aic": "AIC", "icl": "ICL", "heldout": "The held-out likelihood"}
# The difference in BIC from which Kass and Raftery (1995) call evidence very strong, and up to which hardly any.
_STRONG, _WEAK = 10.0, 2.0


def draw_selection(selection: Selection) -> Figure:
    """Draw how far each mixture's criterion is from that of the chosen one, by k and covariance structure.

    The chosen one is ringed, and lies at 0. Mixtures that could not be fitted are crosses above the others, and stretch
    no scale. If the differences are of different orders, the scale is logarithmic.

    Parameters
    ----------
    selection : Selection
        Such as ``model.summary.selection``.

    Returns
    -------
    Figure
        Its table has ``k``, ``structure``, ``value`` of the criterion, ``worse_by``, ``chosen``, ``failure``.

    Raises
    ------
    ParameterError
        If nothing was tried.
    """
    if not selection.rows:
        raise ParameterError("a selection of no mixtures has no picture; need one that tried at least one")
    table = tabulate(selection)
    return Figure("selection", "Choice of k and covariance structure", read(selection), table, _chart(selection, table))


def tabulate(selection: Selection) -> pd.DataFrame:
    """List the mixtures with their distance from the chosen one, which is never negative."""
    best = selection.best
    values = [float(getattr(row, selection.criterion)) for row in selection.rows]
    chosen = math.nan if best is None else values[best]
    return pd.DataFrame(
        {
            "k": [row.k for row in selection.rows],
            "structure": [row.structure for row in selection.rows],
            "value": values,
            "worse_by": [abs(value - chosen) for value in values],
            "converged": [row.converged for row in selection.rows],
            "chosen": [i == best for i in range(len(values))],
            "failure": [row.failure for row in selection.rows],
        }
    )


def read(selection: Selection) -> str:
    """Say which mixture was chosen, how clearly, and whether the grid ends there."""
    rows, best = selection.rows, selection.best
    failed = sum(row.failure is not None for row in rows)
    if best is None:
        return f"None of {len(rows)} mixtures could be fitted."
    values = tabulate(selection)
    others = values[~values["chosen"]].dropna(subset=["worse_by"]).sort_values("worse_by", kind="stable")
    said = [f"{_NAMES[selection.criterion]} chooses {_describe(rows[best])}"]
    if len(others):
        next_best = others.iloc[0]
        said[0] += (
            f"; next is k = {next_best['k']}, {next_best['structure']}, {_distance(selection, next_best['worse_by'])}"
        )
    if selection.at_edge is not None:
        end, more = ("largest", "larger") if selection.at_edge == "highest" else ("smallest", "smaller")
        said.append(f"It is the {end} k that was tried with this structure: try {more} ones")
    if not rows[best].converged:
        said.append("It has not converged")
    if failed:
        said.append(f"{failed} of {len(rows)} could not be fitted")
    return ". ".join(said) + "."


def _describe(row: SelectionRow) -> str:
    return f"k = {row.k} with {row.covarianceType} covariances{' and noise' if row.noise else ''}"


def _distance(selection: Selection, worse_by: float) -> str:
    if selection.criterion == "heldout":
        return f"lower by {show_number(worse_by, 3)} nats per row"
    clear = "a clear difference" if worse_by > _STRONG else "not by much" if worse_by > _WEAK else "hardly a difference"
    return f"higher by {show_number(worse_by, 3)} ({clear})"


def _chart(selection: Selection, table: pd.DataFrame) -> alt.Chart:
    kinds = list(dict.fromkeys(table["structure"]))
    ks = sorted(set(table["k"]))
    falls = Shortfalls.of(table["worse_by"])
    title = "nats per row below the best" if selection.criterion == "heldout" else f"Δ{_NAMES[selection.criterion]}"
    style = {kind: _style(i, len(kinds)) for i, kind in enumerate(kinds)}
    x = alt.X(
        "k:Q",
        scale=_scale_of_k(ks),
        axis=alt.Axis(title="components, k", values=ks, grid=False, format="d", labelOverlap="greedy"),
    )
    y = alt.Y(
        "worse_by:Q",
        scale=falls.scale(_HEIGHT - _ROOM, 0),
        axis=falls.axis(title) if selection.best is not None else alt.Axis(title=title, values=[]),
    )
    fitted = alt.Chart(inline(row for row in _records(table, style) if row["failure"] is None))
    color = alt.Color("colour:N", scale=None, legend=None)
    # Later lines are thinner and later points smaller, so that those that coincide with earlier ones hide none.
    width = alt.StrokeWidth("width:Q", scale=None, legend=None)
    lines = fitted.mark_line().encode(x=x, y=y, color=color, strokeWidth=width, detail="structure:N")
    points = fitted.mark_point(filled=True, opacity=1).encode(
        x=x,
        y=y,
        color=color,
        size=alt.Size("size:Q", scale=None, legend=None),
        shape=alt.Shape("shape:N", scale=None, legend=None),
    )
    layers: list[alt.Chart] = [lines, points]
    failed = [row for row in _records(table, style) if row["failure"] is not None]
    if failed:
        layers.append(_mark_failed(failed, kinds, x))
    if selection.best is not None:
        layers += _mark_chosen(selection, table, x, y)
    ends = _ends(table, kinds, falls)
    layers.append(
        label_ends(
            list(ends),
            [style[kind]["colour"] for kind in ends],
            spread(list(ends.values()), 14, 6, _HEIGHT - 8),
            _WIDTH + 8,
        )
    )
    return alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT)


def _style(i: int, n: int) -> dict[str, Any]:
    """Return how the i-th of n structures is drawn."""
    later = (n - 1 - i) / max(n - 1, 1)
    return {
        "colour": SERIES[i % len(SERIES)],
        "shape": _SHAPES[i % len(_SHAPES)],
        "width": 1.5 + 2 * later,
        "size": 38 + 60 * later,
    }


def _records(table: pd.DataFrame, style: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    return [row | style.get(row["structure"], {}) for row in rows]


def _scale_of_k(ks: list[int]) -> alt.Scale:
    """Return a scale on which the k that were tried stand apart: logarithmic if they grow by factors."""
    factors = len(ks) > 3 and min(ks) > 0 and ks[-1] / ks[0] >= 16 and (ks[-1] - ks[-2]) > 2 * (ks[1] - ks[0])
    if factors:
        return alt.Scale(type="log", domain=[ks[0] / 1.15, ks[-1] * 1.15], nice=False)
    margin = max((ks[-1] - ks[0]) * 0.04, 0.3)
    return alt.Scale(domain=[ks[0] - margin, ks[-1] + margin], nice=False, zero=False)


def _ends(table: pd.DataFrame, kinds: list[str], falls: Shortfalls) -> dict[str, float]:
    """Return the height in pixels of each structure's last point; those without one are listed from the top."""
    found = {}
    for kind in kinds:
        mine = table[(table["structure"] == kind) & table["failure"].isna()].sort_values("k")
        found[kind] = 0.0 if mine.empty else (_HEIGHT - _ROOM) * (1 - falls.place(mine["worse_by"].iloc[-1]))
    return found


def _mark_failed(failed: list[dict[str, Any]], kinds: list[str], x: alt.X) -> alt.Chart:
    rows = [row | {"height": -12.0 - 9 * kinds.index(row["structure"])} for row in failed]
    crosses = (
        alt.Chart(inline(rows))
        .mark_point(shape="M-1,-1L1,1M1,-1L-1,1", size=26, strokeWidth=2, opacity=1)
        .encode(x=x, y=alt.Y("height:Q", scale=None, axis=None), color=alt.Color("colour:N", scale=None, legend=None))
    )
    return crosses + write("× could not be fitted", 0, -14 - 9 * len(kinds), color=MUTED, baseline="middle")


def _mark_chosen(selection: Selection, table: pd.DataFrame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    best = alt.Chart(inline(_records(table[table["chosen"]], {})))
    ring = best.mark_point(size=240, strokeWidth=2.2, color=ACCENT, opacity=1, filled=False).encode(x=x, y=y)
    edge = selection.at_edge
    side = "center" if edge is None else "right" if edge == "highest" else "left"
    name = best.mark_text(
        text="chosen" if edge is None else "chosen, at the edge of the grid",
        color=ACCENT,
        dy=20,
        dx={"center": 0, "right": 12, "left": -12}[side],
        align=side,
        fontWeight="bold",
    ).encode(x=x, y=y)
    marks: list[alt.Chart] = [ring, name]
    rule = best.mark_rule(color=ACCENT, strokeDash=[4, 3]).encode(
        x=x, y=alt.value(0), y2=alt.value(_HEIGHT - _ROOM - 9)
    )
    return marks if edge is None else [rule, *marks]
