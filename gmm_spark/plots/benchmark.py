"""Results of ``jobs/benchmark.py``: time per row against rows n, features d and components k."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd

from gmm_spark.core.formatting import show_number
from gmm_spark.errors import ParameterError
from gmm_spark.plots.figure import WIDTH, Figure
from gmm_spark.plots.marks import inline
from gmm_spark.plots.palette import SERIES

# Settings on the x axis of a panel, with their labels.
AXES = {"rows": "rows, n", "d": "features, d", "k": "components, k"}
_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right")
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])


def draw_benchmark(results: Iterable[Mapping[str, Any]]) -> Figure:
    """Draw a panel for each of rows, features and components that was varied while the others stood.

    Parameters
    ----------
    results : iterable of dict
        The JSON lines of the suite ``speed``: ``case``, ``setting``, ``seconds`` by contender.

    Returns
    -------
    Figure
        Its table has ``along``, ``at``, ``case``, ``contender``, ``setting`` of the others, ``ns_per_row``: the median.

    Raises
    ------
    ParameterError
        If nothing was measured at two values of rows, d or k.
    """
    table = tabulate([result for result in results if AXES.keys() <= result.get("setting", {}).keys()])
    if table.empty:
        raise ParameterError("nothing measured at two values of rows, d or k; run the benchmark with several of one")
    return Figure("benchmark", "Time per row", read(table), table, _chart(table))


def tabulate(results: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """List the medians of every contender that was measured at two values of a setting or more, the others equal."""
    found: dict[tuple[str, str, str, str], dict[int, float]] = {}
    for result in results:
        setting = result["setting"]
        for along in AXES:
            others = ", ".join(f"{key} {value}" for key, value in setting.items() if key != along)
            for contender, seconds in result["seconds"].items():
                series = found.setdefault((along, result["case"], contender, others), {})
                series[setting[along]] = 1e9 * statistics.median(seconds) / setting["rows"]
    rows = [
        (along, at, case, contender, others, value)
        for (along, case, contender, others), points in found.items()
        if len(points) > 1
        for at, value in sorted(points.items())
    ]
    return pd.DataFrame(rows, columns=["along", "at", "case", "contender", "setting", "ns_per_row"])


def read(table: pd.DataFrame) -> str:
    """Say how the first contender's time grows along each setting."""
    said = []
    for along in dict.fromkeys(table["along"]):
        panel = table[table["along"] == along]
        series = panel[["case", "contender", "setting"]]
        first = panel[(series == series.iloc[0]).all(axis=1)]
        low, high = first.iloc[0], first.iloc[-1]
        said.append(
            f"From {AXES[along].split(',')[0]} = {low['at']:,} to {high['at']:,}, {low['contender']} goes from "
            f"{show_number(low['ns_per_row'])} to {show_number(high['ns_per_row'])} ns per row ({low['case']})"
        )
    return ". ".join(said) + "."


def _chart(table: pd.DataFrame) -> alt.Chart:
    panels = [_panel(table[table["along"] == along], along) for along in AXES if (table["along"] == along).any()]
    row = alt.hconcat(*panels, spacing=36)
    return row.resolve_scale(color="independent", shape="independent", strokeDash="independent")


def _panel(table: pd.DataFrame, along: str) -> alt.Chart:
    # What all series of the panel share stands once, above it.
    shared = table["setting"].nunique() == 1
    labels = [
        f"{case}: {who}" if shared else f"{case}: {who} ({rest})"
        for case, who, rest in table[["case", "contender", "setting"]].to_numpy()
    ]
    table = table.assign(series=labels)
    series = list(dict.fromkeys(labels))
    n = range(len(series))
    legend = alt.Legend(title=None, orient="bottom", direction="vertical", columns=1, symbolSize=70)
    rows = [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    ticks = sorted(set(table["at"]))
    base = alt.Chart(inline(rows)).encode(
        x=alt.X(
            "at:Q",
            scale=alt.Scale(type="log", nice=False, padding=12),
            axis=alt.Axis(title=AXES[along], values=ticks, grid=False, format="~s" if along == "rows" else "d"),
        ),
        y=alt.Y(
            "ns_per_row:Q",
            scale=alt.Scale(type="log", nice=False, padding=10),
            axis=alt.Axis(title="ns per row, wall time", values=_ticks(list(table["ns_per_row"])), format="~s"),
        ),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=series, range=[SERIES[i % len(SERIES)] for i in n]),
            legend=legend,
        ),
    )
    dashes = alt.Scale(domain=series, range=[_DASHES[i // len(SERIES) % len(_DASHES)] for i in n])
    shapes = alt.Scale(domain=series, range=[_SHAPES[i % len(_SHAPES)] for i in n])
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=None))
    points = base.mark_point(filled=True, opacity=1, size=60).encode(
        shape=alt.Shape("series:N", scale=shapes, legend=legend)
    )
    above = alt.Title(table["setting"].iloc[0], fontSize=11.5, fontWeight="normal") if shared else alt.Undefined
    return alt.layer(lines, points).properties(width=WIDTH * 1.15, height=230, title=above)


def _ticks(values: list[float]) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten, or the powers alone, about the values' range."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if max(values) < 100 * min(values) else (1,)
    return [step * 10.0**power for power in range(low, high + 1) for step in steps]
