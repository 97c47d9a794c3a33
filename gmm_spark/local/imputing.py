"""Imputation of rows in memory: missing values filled in, in the form in which the rows were passed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from gmm_spark.core.arrays import Array, Block
from gmm_spark.errors import DataError, ParameterError
from gmm_spark.local.reading import Read, read_rows
from gmm_spark.local.tables import Columns, is_pandas, is_table, to_arrow
from gmm_spark.spark.decoding import Mask


def impute_rows(rows: Any, columns: Columns, handle_invalid: str, suffix: str, fill: Callable[[Block], Array]) -> Any:
    """Fill in the missing values of rows, and return them in the form in which they were passed.

    Parameters
    ----------
    rows : array-like, table or dict
    columns : Columns
    handle_invalid : {"error", "skip", "keep", "marginal"}
        Whether a bad row raises, as it does with the first. Missing values do not make a row bad.
    suffix : str
        Of the names of columns that are appended to a table.
    fill : callable
        Fills in the missing values of usable rows (d, m).

    Raises
    ------
    DataError
        If the rows cannot be read, one is bad and is to be refused, or a table has a column of such a name.
    ParameterError
        If the suffix is empty.
    """
    if not suffix:
        raise ParameterError("suffix=''; need a text, so that the columns with missing values stay")
    read = read_rows(rows, columns, handle_invalid, missing=True)
    filled = read.spread(fill(read.rows).T, np.nan)  # (n, d)
    if isinstance(rows, Mapping):
        if columns.names is None or not all(name in rows for name in columns.names):
            return {str(columns.features_col): filled[0].tolist()}
        return dict(zip(columns.names, filled[0].tolist(), strict=True))
    if not is_table(rows):
        return filled[0] if read.single else filled
    return _append(rows, columns, suffix, filled, read)


def _append(table: Any, columns: Columns, suffix: str, filled: Array, read: Read) -> Any:
    """Return a table with the columns that were read once more, missing values filled in."""
    there = list(map(str, table.columns)) if is_pandas(table) else to_arrow(table).column_names
    single = columns.pick(there)
    read_names = list(columns.names or ()) if single is None else [single]
    names = [f"{name}{suffix}" for name in read_names]
    if clash := [name for name in names if name in there]:
        raise DataError(f"the table already has {', '.join(map(repr, clash))}; pass another suffix")
    if is_pandas(table):
        pandas = sys.modules["pandas"]
        values = (
            dict(zip(names, filled.T, strict=True)) if single is None else {names[0]: _list_rows(filled, read.good)}
        )
        return pandas.concat([table, pandas.DataFrame(values, index=table.index)], axis=1)
    found = to_arrow(table)
    bad = None if read.good is None else ~read.good
    if single is None:
        appended = [pa.array(column, mask=bad) for column in filled.T]
    else:
        appended = [pa.array(_list_rows(filled, read.good), pa.list_(pa.float64()))]
    for name, column in zip(names, appended, strict=True):
        found = found.append_column(name, column)
    return found


def _list_rows(filled: Array, good: Mask | None) -> list[Any]:
    """Return each row as an array, None for a bad one."""
    return [row if good is None or good[i] else None for i, row in enumerate(filled)]
