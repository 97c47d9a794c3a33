"""The starts of a fit: where each ended, and which went on to the table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from gmm_spark.core.description.starts import describe_starts, order_starts, tell_fate
from gmm_spark.core.em.ascent import RELOCATED, StartRecord
from gmm_spark.errors import ParameterError
from gmm_spark.plots.components import write_key
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline
from gmm_spark.plots.palette import ACCENT, LINE, MUTED, SERIES
from gmm_spark.plots.shortfall import Shortfalls

# Starts that are drawn, the best; and the height of the line of one.
_MOST, _LINE_HEIGHT = 25, 19.0
_WIDTH = WIDTH * 0.52
_LONG = 4  # ends whose key is longer than a line
_LETTER = 5.7  # width of one, pixels
# Of each end: shape, colour and name.
_ENDS = {
    "won": ("circle", ACCENT, "● won"),
    "table": ("circle", SERIES[0], "● went on to the table"),
    "alike": ("square", SERIES[2], "■ as the best"),
    "other": ("diamond", SERIES[1], "◆ lower"),
}


def draw_starts(records: Sequence[StartRecord]) -> Figure:
    """Draw how far below the best each start ended, where the starts were compared: on the sample, or a part of it.

    Of more than 25 starts the best are drawn.

    Parameters
    ----------
    records : sequence of StartRecord
        Such as ``model.summary.startRecords``.

    Returns
    -------
    Figure
        Its table has ``start``, ``kind``, ``lower_bound``, ``below_best``, ``iterations``, ``passes`` over the table,
        ``end``. The best come first.

    Raises
    ------
    ParameterError
        If there is no start that could be compared.
    """
    table = tabulate(records)
    if not table["lower_bound"].notna().any():
        raise ParameterError("no start of the fit ended with a bound, so there is no picture; need one at least")
    return Figure("starts", "Where the starts ended", describe_starts(records), table, _chart(records, table))


def tabulate(records: Sequence[StartRecord]) -> pd.DataFrame:
    """List the starts, the best first."""
    rows = [
        {
            "start": i,
            "kind": one.kind,
            "lower_bound": one.lower_bound,
            "iterations": one.iterations,
            "passes": len(one.table_bounds),
            "end": tell_fate(one),
        }
        for i, one in order_starts(records)
    ]
    table = pd.DataFrame(rows, columns=["start", "kind", "lower_bound", "iterations", "passes", "end"])
    table.insert(3, "below_best", table["lower_bound"].max() - table["lower_bound"])
    return table


def _find_end(one: StartRecord) -> str:
    if one.won:
        return "won"
    return "table" if one.table_bounds else "alike" if one.alike else "other"


def _chart(records: Sequence[StartRecord], table: pd.DataFrame) -> alt.LayerChart:
    falls = Shortfalls.of(table["below_best"])
    shown = table.head(_MOST)
    height = _LINE_HEIGHT * len(shown)
    rows = [
        {"row": place, "name": _name(i, kind), "below": below, "end": _find_end(records[i])}
        for place, (i, kind, below) in enumerate(shown[["start", "kind", "below_best"]].itertuples(index=False))
    ]
    names = [str(row["name"]).replace("\\", "\\\\").replace("'", "\\'") for row in rows]
    written = ",".join(f"'{name}'" for name in names)
    y = alt.Y(
        "row:O",
        axis=alt.Axis(
            title=None,
            ticks=False,
            domain=False,
            labelLimit=0,
            labelOverlap=False,
            labelExpr=f"[{written}][datum.value]",
        ),
    )
    x = alt.X("below:Q", scale=falls.scale(8, _WIDTH), axis=falls.axis("nats per row below the best"))
    guides = alt.Chart(inline(rows)).mark_rule(color=LINE).encode(y=y, x=alt.value(0), x2=alt.value(_WIDTH))
    compared = [row for row in rows if not math.isnan(row["below"])]
    layers: list[alt.Chart] = [guides]
    for end, (shape, colour, _) in _ENDS.items():
        mine = [row for row in compared if row["end"] == end]
        if mine:
            marks = alt.Chart(inline(mine)).mark_point(
                filled=True, opacity=1, size=80 if end == "won" else 55, shape=shape, color=colour
            )
            layers.append(marks.encode(x=x, y=y))
    missing = [
        row | {"text": _explain(records[int(table["start"].iloc[row["row"]])])} for row in rows if row not in compared
    ]
    if missing:
        layers.append(
            alt.Chart(inline(missing))
            .mark_text(align="left", color=MUTED, dx=6)
            .encode(x=alt.value(0), y=y, text="text:N")
        )
    there = [(text, colour) for end, (_, colour, text) in _ENDS.items() if any(row["end"] == end for row in compared)]
    left = -min(_LETTER * max(len(name) for name in names) + 8, 0.5 * WIDTH)
    lines = [there] if len(there) < _LONG else [there[:2], there[2:]]
    layers += [write_key(line, y=-10 - 15.0 * i, x=left) for i, line in enumerate(reversed(lines))]
    if len(table) > len(shown):
        layers.append(
            write_key([(f"{len(table) - len(shown)} more are further below", MUTED)], y=-10 - 15.0 * len(lines), x=left)
        )
    return alt.layer(*layers).properties(width=_WIDTH, height=height)


def _name(i: int, kind: str) -> str:
    return kind if kind == RELOCATED else f"{i}: {kind}"


def _explain(record: StartRecord) -> str:
    if record.kind != RELOCATED:
        return "degenerated"
    return "made from the best; won" if record.won else "made from the best"
