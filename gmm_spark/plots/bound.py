"""The lower bound pass by pass: how EM climbed, which steps were refused or lost, and where other starts ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from gmm_spark.core.em.ascent import RELOCATED, PassRecord, StartRecord
from gmm_spark.core.formatting import count_of, show_number
from gmm_spark.errors import ParameterError
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline, label_ends, spread
from gmm_spark.plots.palette import ACCENT, INK, MUTED, SERIES
from gmm_spark.plots.shortfall import Shortfalls
from gmm_spark.plots.words import listing

_HEIGHT = 210
_ALONE = "the fit"
# Of each kind of step: shape and colour.
_STEPS = {
    "plain": ("circle", SERIES[0]),
    "extrapolated": ("triangle-up", SERIES[2]),
    "refused": ("diamond", SERIES[1]),
    "lost": ("triangle-down", ACCENT),
}
_LABELLED = 6  # starts whose lines have labels


def draw_bound(
    history: Sequence[PassRecord] | Mapping[str, Sequence[PassRecord]], starts: Sequence[StartRecord] = ()
) -> Figure:
    """Draw how far the lower bound was from the highest that was reached, pass by pass.

    Parameters
    ----------
    history : sequence of PassRecord, or several by the name of their start
        Such as ``model.summary.history``.
    starts : sequence of StartRecord, optional
        Such as ``model.summary.startRecords``: those that were given up on the table are drawn beside the history.

    Returns
    -------
    Figure
        Its table has ``start``, ``iteration``, ``lower_bound``, ``below_best``, ``change``, ``step``, ``seconds``,
        ``reseeded``.

    Raises
    ------
    ParameterError
        If there is no pass.
    """
    histories = history if isinstance(history, Mapping) else {_ALONE: history}
    table = tabulate(histories)
    given_up = {_name(i, one): one.table_bounds for i, one in enumerate(starts) if one.table_bounds and not one.won}
    if table.empty:
        raise ParameterError("a fit without passes has no picture; need a history of at least one")
    reading = read(table, histories) + _describe_given_up(given_up, table)
    if given_up:
        table = pd.concat([table, _tabulate_given_up(given_up)], ignore_index=True)
        table["below_best"] = table["lower_bound"].max() - table["lower_bound"]
    return Figure("bound-by-pass", "Lower bound by pass", reading, table, _chart(table))


def _name(i: int, start: StartRecord) -> str:
    return start.kind if start.kind == RELOCATED else f"{i}"


def _tabulate_given_up(given_up: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """List passes of which no more is known than the bounds."""
    rows = [
        {"start": name, "iteration": i, "lower_bound": bound, "step": "", "reseeded": ""}
        for name, bounds in given_up.items()
        for i, bound in enumerate(bounds, 1)
    ]
    return pd.DataFrame(rows)


def _describe_given_up(given_up: Mapping[str, Sequence[float]], table: pd.DataFrame) -> str:
    """Say which starts were given up, and how they stood then."""
    if not given_up:
        return ""
    passes = len(next(iter(given_up.values())))
    stood = table["lower_bound"].iloc[min(passes, len(table)) - 1]
    differences = [show_number(bounds[-1] - stood, 2) for bounds in given_up.values()]
    behind = all(one.startswith("−") for one in differences)
    stood_at = (
        f"{listing([one[1:] for one in differences])} nats per row below" if behind else f"{listing(differences)} off"
    )
    who = f"start {listing(list(given_up))} was" if len(given_up) == 1 else f"starts {listing(list(given_up))} were"
    return f" On the table, {who} given up after {count_of(passes, 'pass', 'passes')}, {stood_at}."


def tabulate(histories: Mapping[str, Sequence[PassRecord]]) -> pd.DataFrame:
    """List the passes of all starts, with their distance from the highest bound."""
    rows = [
        {
            "start": name,
            "iteration": record.iteration,
            "lower_bound": record.lower_bound,
            "below_best": 0.0,
            "change": record.change,
            "step": record.step,
            "seconds": record.seconds,
            "reseeded": ", ".join(str(i) for i in record.reseeded),
        }
        for name, history in histories.items()
        for record in history
    ]
    table = pd.DataFrame(rows)
    if rows:
        table["below_best"] = table["lower_bound"].max() - table["lower_bound"]
    return table


def read(table: pd.DataFrame, histories: Mapping[str, Sequence[PassRecord]]) -> str:
    """Say how far EM climbed in how many passes, what became of extrapolated steps, and what is left to gain."""
    best = str(table["start"].iloc[int(table["lower_bound"].argmax())])
    mine = table[table["start"] == best]
    passes, last = len(mine), float(mine["lower_bound"].iloc[-1])
    of = "" if len(histories) == 1 else f"Start {best} ended highest of {len(histories)}. "
    if passes == 1:
        return f"{of}One pass was made; its bound is {show_number(last, 5)} nats per row."
    rise = last - float(mine["lower_bound"].iloc[0])
    way = "rose" if rise >= 0 else "fell"
    said = [
        f"{of}The bound {way} by {show_number(abs(rise))} nats per row in {passes} passes, to {show_number(last, 5)}"
    ]
    counts = {step: int((mine["step"] == step).sum()) for step in _STEPS}
    steps = [
        f"{counts[step]} {'was' if counts[step] == 1 else 'were'} {step}"
        for step in ("extrapolated", "refused", "lost")
        if counts[step]
    ]
    if steps:
        said.append(f"Of the steps, {listing(steps)}")
    remaining = histories[best][-1].remaining
    if remaining == remaining and remaining >= 0:  # not NaN
        said.append(f"About {show_number(remaining)} is left to gain")
    reseeded = int((mine["reseeded"] != "").sum())
    if reseeded:
        said.append(f"Components were reseeded {'once' if reseeded == 1 else f'{reseeded} times'}")
    return ". ".join(said) + "."


def _chart(table: pd.DataFrame) -> alt.Chart:
    several = table["start"].nunique() > 1
    falls = Shortfalls.of(table["below_best"])
    last = int(table["iteration"].max())
    width = WIDTH * 0.88 if several else WIDTH
    x = alt.X(
        "iteration:Q",
        scale=alt.Scale(domain=[0.5, last + 0.5] if last < 12 else [0, last + 1], nice=False),
        axis=alt.Axis(title="pass", grid=False, format="d", tickMinStep=1, tickCount=min(last, 8)),
    )
    y = alt.Y("below_best:Q", scale=falls.scale(8, _HEIGHT), axis=falls.axis("nats per row below the highest"))
    best = table["start"].iloc[int(table["lower_bound"].argmax())]
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    passes = alt.Chart(inline(row | {"best": row["start"] == best} for row in rows))
    lines = passes.mark_line(strokeWidth=1.4).encode(
        x=x,
        y=y,
        detail="start:N",
        color=alt.condition("datum.best", alt.value(INK), alt.value(MUTED)),
        opacity=alt.condition("datum.best", alt.value(0.8), alt.value(0.55)),
    )
    present = [step for step in _STEPS if (table["step"] == step).any()]
    shapes, colours = zip(*(_STEPS[step] for step in present), strict=True)
    legend = alt.Legend(title=None, symbolOpacity=1, symbolSize=60, columns=4) if present != ["plain"] else None
    known = passes.transform_filter("datum.step != ''")
    points = known.mark_point(filled=True, opacity=1, size=60 if last <= 40 else 24, strokeWidth=2).encode(
        x=x,
        y=y,
        shape=alt.Shape("step:N", scale=alt.Scale(domain=present, range=shapes), legend=legend),
        color=alt.Color("step:N", scale=alt.Scale(domain=present, range=colours), legend=legend),
    )
    layers: list[alt.Chart] = [lines, points]
    reseeded = [row for row in rows if row["reseeded"]]
    if reseeded:
        layers.insert(0, alt.Chart(inline(reseeded)).mark_rule(color=MUTED, strokeDash=[2, 3]).encode(x=x))
        layers.append(
            # Climbs leave room above their first passes.
            alt.Chart(
                inline(
                    row | {"text": f"reseeded {row['reseeded']}", "height": 14.0 + 13 * (i % 6)}
                    for i, row in enumerate(reseeded)
                )
            )
            .mark_text(color=MUTED, align="left", dx=4)
            .encode(x=x, y=alt.Y("height:Q", scale=None, axis=None), text="text:N")
        )
    if several:
        layers.append(_label_starts(table, falls, width))
    return alt.layer(*layers).properties(width=width, height=_HEIGHT)


def _label_starts(table: pd.DataFrame, falls: Shortfalls, width: float) -> alt.Chart:
    ends = table.sort_values("iteration", kind="stable").groupby("start", sort=False).last()
    first = ends.sort_values("below_best").head(_LABELLED)
    heights = [8 + (_HEIGHT - 8) * falls.place(value) for value in first["below_best"]]
    labels = [name if name in (_ALONE, RELOCATED) else f"start {name}" for name in first.index]
    colours = [INK, *[MUTED] * (len(labels) - 1)]
    return label_ends(labels, colours, spread(heights, 14, 6, _HEIGHT - 4), width + 8)
