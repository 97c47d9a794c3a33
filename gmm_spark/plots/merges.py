"""The merge tree: which components belong together, and the entropy of the responsibilities as they are merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from gmm_spark.core.description.merging import MergeTree, describe_merges
from gmm_spark.errors import ParameterError
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline
from gmm_spark.plots.palette import ACCENT, INK, MUTED, SERIES

_MOST = 30  # clusters that the tree begins with
_ENTROPY = 110.0  # height of the upper panel
_WIDTH = WIDTH * 0.9
_LONGEST = 3  # components of a cluster that are named
# Heights of a leaf, if there are few and if there are many; and of the tree, which has room for its title.
_TALL, _LOW, _MANY, _LEAST = 19.0, 12.0, 16, 66.0


def draw_merges(tree: MergeTree) -> Figure:
    """Draw the merge tree, the components at its left, and above it the entropy for each number of clusters.

    From right to left the entropy rises by what the components of a cluster share. Where its fall bends, to the left
    parts of one cluster are merged, to the right clusters that are apart. Of more than 30 components the last merges
    are drawn.

    Parameters
    ----------
    tree : MergeTree
        Such as ``model.summary.mergeTree``.

    Returns
    -------
    Figure
        Its table has ``clusters`` that are left, what was ``merged``, ``entropy`` in nats a row, and the ``weight`` of
        the two.

    Raises
    ------
    ParameterError
        If there is but one component.
    """
    if tree.n_components < 2:
        raise ParameterError("a mixture of one component has nothing to merge; need two at least")
    return Figure("merges", "Components that may belong together", describe_merges(tree), tabulate(tree), _chart(tree))


def tabulate(tree: MergeTree) -> pd.DataFrame:
    """List the merges in order, and before them the components as they are."""
    rows: list[dict[str, Any]] = [
        {"clusters": tree.n_components, "merged": "nothing", "entropy": tree.entropy, "weight": float("nan")}
    ]
    rows += [
        {
            "clusters": one.clusters,
            "merged": " with ".join(", ".join(map(str, part)) for part in (one.first, one.second)),
            "entropy": one.entropy,
            "weight": one.weight,
        }
        for one in tree.merges
    ]
    return pd.DataFrame(rows)


def _chart(tree: MergeTree) -> alt.VConcatChart:
    first = min(tree.n_components, _MOST)
    scale = alt.Scale(domain=[first + 0.4, 0.7], nice=False, zero=False)
    every = -(-first // 10)
    near = {tree.suggested + 1, tree.suggested - 1} if every > 1 else set()
    ticks = sorted({one for one in {tree.suggested, *range(first, 0, -every)} - near | {1} if one <= first})

    def axis(title: str | None) -> alt.X:
        shown = alt.Axis(title=title, values=ticks, format="d", grid=False, labels=title is not None)
        return alt.X("clusters:Q", scale=scale, axis=shown)

    parts = alt.vconcat(
        _draw_entropy(tree, first, axis(None)), _draw_tree(tree, first, axis("clusters left")), spacing=6
    )
    return parts.resolve_scale(x="independent", y="independent")


def _draw_entropy(tree: MergeTree, first: int, x: alt.X) -> alt.LayerChart:
    values = tree.entropies[tree.n_components - first :]
    rows = [{"clusters": first - i, "entropy": float(value)} for i, value in enumerate(values)]
    top = max(float(values.max()) * 1.12, 1e-3)
    y = alt.Y(
        "entropy:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(title="entropy, nats a row", tickCount=4),
    )
    base = alt.Chart(inline(rows)).encode(x=x, y=y)
    layers: list[alt.Chart] = [base.mark_line(color=INK, strokeWidth=1.4)]
    layers.append(base.mark_point(filled=True, opacity=1, size=45, color=SERIES[0]))
    if tree.suggested < tree.n_components and tree.suggested <= first:
        bend = alt.Chart(inline([row for row in rows if row["clusters"] == tree.suggested]))
        left = tree.suggested > 0.45 * first  # there is room to the right
        text = bend.mark_text(
            text="the fall bends here",
            color=ACCENT,
            fontWeight="bold",
            align="left" if left else "right",
            dx=6 if left else -6,
        )
        layers.append(bend.mark_rule(color=ACCENT, strokeDash=[4, 3]).encode(x=x))
        layers.append(
            bend.mark_point(size=200, strokeWidth=2.2, color=ACCENT, opacity=1, filled=False).encode(x=x, y=y)
        )
        layers.append(text.encode(x=x, y=alt.value(6)))
    return alt.layer(*layers).properties(width=_WIDTH, height=_ENTROPY)


def _draw_tree(tree: MergeTree, first: int, x: alt.X) -> alt.LayerChart:
    leaves, lines = _lay_out(tree, first)
    height = max((_LOW if len(leaves) > _MANY else _TALL) * len(leaves), _LEAST)
    names = ",".join(f"'{_name(one)}'" for one in leaves)
    y = alt.Y(
        "row:Q",
        scale=alt.Scale(domain=[-0.5, len(leaves) - 0.5], range=[0, height], nice=False, zero=False),
        axis=alt.Axis(
            title="component",
            values=list(range(len(leaves))),
            labelExpr=f"[{names}][datum.value]",
            labelOverlap=False,
            labelFontSize=10,
            ticks=False,
            domain=False,
            grid=False,
        ),
    )
    # Merges up to the bend join parts of a cluster; those after it clusters, and are drawn fainter.
    within = tree.suggested if tree.suggested < tree.n_components else first + 1
    drawn = [
        row | {"colour": INK if row["at"] >= within else MUTED, "width": 2.0 if row["at"] >= within else 1.0}
        for row in lines
    ]
    base = alt.Chart(inline(drawn)).encode(
        color=alt.Color("colour:N", scale=None, legend=None),
        strokeWidth=alt.StrokeWidth("width:Q", scale=None, legend=None),
    )
    tree_lines = base.mark_rule(strokeCap="round").encode(x=x, x2="clusters2:Q", y=y, y2="row2:Q")
    layers: list[alt.Chart] = [tree_lines]
    if tree.suggested < tree.n_components and tree.suggested <= first:
        bend = alt.Chart(inline([{"clusters": tree.suggested}]))
        layers.insert(0, bend.mark_rule(color=ACCENT, strokeDash=[4, 3]).encode(x=x))
    return alt.layer(*layers).properties(width=_WIDTH, height=height)


def _lay_out(tree: MergeTree, first: int) -> tuple[list[tuple[int, ...]], list[dict[str, Any]]]:
    """Return the clusters that the tree begins with, so ordered that no lines cross, and the lines."""
    merges = tree.merges[tree.n_components - first :]
    orders: dict[tuple[int, ...], list[tuple[int, ...]]] = {one: [one] for one in tree.clusters(first)}
    for one in merges:
        orders[tuple(sorted(one.first + one.second))] = orders[one.first] + orders[one.second]
    leaves = orders[tuple(range(tree.n_components))]
    rows: dict[tuple[int, ...], float] = {one: float(i) for i, one in enumerate(leaves)}
    begins: dict[tuple[int, ...], float] = dict.fromkeys(leaves, first + 0.4)
    lines = []
    for one in merges:
        both = tuple(sorted(one.first + one.second))
        ends = [rows[one.first], rows[one.second]]
        lines += [
            _line(begins[part], one.clusters, rows[part], rows[part], one.clusters) for part in (one.first, one.second)
        ]
        lines.append(_line(one.clusters, one.clusters, min(ends), max(ends), one.clusters))
        rows[both], begins[both] = sum(ends) / 2, float(one.clusters)
    return leaves, lines


def _line(begin: float, end: float, row: float, other: float, at: int) -> dict[str, Any]:
    return {"clusters": begin, "clusters2": float(end), "row": row, "row2": other, "at": at}


def _name(cluster: Sequence[int]) -> str:
    """Name a cluster by its components, of many the first."""
    if len(cluster) <= _LONGEST:
        return ", ".join(map(str, cluster))
    return f"{', '.join(map(str, cluster[: _LONGEST - 1]))} and {len(cluster) - _LONGEST + 1} more"
