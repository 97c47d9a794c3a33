"""Pictures of :mod:`gmm_spark.plots`, as blocks of a page; and the fit's history and selection, as they take them."""

from __future__ import annotations

import logging
import math
from typing import Any

import pandas as pd

from gmm_spark.core.em.ascent import PassRecord, StartRecord
from gmm_spark.core.formatting import show_name, show_number
from gmm_spark.errors import MissingExtraError
from gmm_spark.ml.comparison import SIGNS, Selection, SelectionRow
from gmm_spark.report.blocks import Block, Cell, Missing, Picture, Table, word
from gmm_spark.report.facts import Facts

# Rows and columns of a picture's table: with more of them, pages of large mixtures would be too large.
_ROWS, _COLUMNS = 120, 12

_logger = logging.getLogger(__name__)


def draw(name: str, *arguments: Any, reading: str = "", is_wide: bool = False) -> Block:
    """Draw a picture, or say why there is none: a picture must not cost the page.

    Parameters
    ----------
    name : str
        A function of :mod:`gmm_spark.plots`, which takes the arguments.
    reading : str
        What to say under it, if not the figure's own reading.
    is_wide : bool
        Whether it has many parts, and needs more room.
    """
    try:
        from gmm_spark import plots

        figure = getattr(plots, name)(*arguments)
        table = _tabulate(figure.title, figure.table)
        return Picture(show_name(figure.title), figure.svg(), show_name(reading or figure.reading), table, is_wide)
    except MissingExtraError as error:
        return Missing(f"There is no picture here: {error}.")
    except Exception as error:
        _logger.warning("the picture %s could not be drawn: %r", name, error)
        return Missing(f"The picture could not be drawn: {show_name(str(error)) or type(error).__name__}.")


def read_history(facts: Facts) -> list[PassRecord]:
    """Read the passes of a fit."""
    return [
        PassRecord(
            iteration=int(one.number("iteration") or i),
            lower_bound=_nan(one.number("lower_bound")),
            change=_nan(one.number("change")),
            seconds=one.number("seconds") or 0.0,
            step=one.text("step") or "plain",
            remaining=_nan(one.number("remaining")),
            reseeded=tuple(int(j) for part in one["reseeded"] if (j := part.number()) is not None),
        )
        for i, one in enumerate(facts["fit"]["history"], start=1)
        if one.number("lower_bound") is not None
    ]


def read_starts(facts: Facts) -> list[StartRecord]:
    """Read the records of a fit's starts; earlier versions wrote none."""
    return [
        StartRecord(
            kind=show_name(one.text("kind") or "unknown"),
            lower_bound=_nan(one.number("lower_bound")),
            iterations=int(one.number("iterations") or 0),
            alike=one.flag("alike") or False,
            table_bounds=tuple(bound for part in one["table_bounds"] if (bound := part.number()) is not None),
            won=one.flag("won") or False,
        )
        for one in facts["fit"]["starts"]["records"]
    ]


def read_selection(facts: Facts) -> Selection | None:
    """Read the mixtures that select has tried; None if there are none."""
    selection = facts["selection"]
    criterion = selection.text("criterion") or ""
    rows = tuple(
        SelectionRow(
            k=int(k),
            covarianceType=one.text("covarianceType") or "?",
            nParameters=int(one.number("nParameters") or 0),
            **{name: _nan(one.number(name)) for name in ("logLikelihood", "bic", "aic", "icl", "heldout")},
            numIter=int(one.number("numIter") or 0),
            converged=one.flag("converged") or False,
            failure=one.text("failure"),
            noise=one.flag("noise") or False,
        )
        for one in selection["mixtures"]
        if (k := one.number("k")) is not None
    )
    if not rows or criterion not in SIGNS:
        return None
    return Selection(criterion, rows, int(facts["rows"].number("held_out") or 0))


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _tabulate(title: str, table: pd.DataFrame) -> Table:
    """Turn a figure's table into one of the page; of a long one, its first rows."""
    caption = title if len(table) <= _ROWS else f"{title}: the first {_ROWS} of {len(table):,} rows"
    if len(table.columns) > _COLUMNS:
        caption += f", {_COLUMNS} of {len(table.columns)} columns"
        table = table.iloc[:, :_COLUMNS]
    rows = [
        [_show(value) if i else word(_show(value).text) for i, value in enumerate(row)]
        for row in table.head(_ROWS).itertuples(index=False)
    ]
    return Table(caption, [str(name).replace("_", " ") for name in table], rows)


def _show(value: object) -> Cell:
    if isinstance(value, bool):
        return word("yes" if value else "")
    if isinstance(value, (int, float)) or hasattr(value, "dtype"):
        return Cell(show_number(float(value), 5))  # type: ignore[arg-type]
    return word("" if value is None else show_name(str(value)))
