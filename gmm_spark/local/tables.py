"""Tables in memory, of pandas or Arrow, as blocks of floats: columns are picked by name, and bad rows found.

Any library whose tables speak Arrow's C interface will do, polars for one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gmm_spark.core.arrays import Array
from gmm_spark.errors import DataError
from gmm_spark.local.rows import describe_type, to_array
from gmm_spark.spark.decoding import (
    NULL,
    WIDTH,
    Decoded,
    Mask,
    decode_floats,
    decode_lists,
    decode_vectors,
    find_bad_rows,
)
from gmm_spark.storage.documents import shorten

_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


@dataclass(frozen=True)
class Columns:
    """Where the features of a mixture are found in a table.

    Attributes
    ----------
    names : tuple of str or None
        A numeric column for each feature; None if their names are not known.
    features_col : str or None
        One column of arrays or Vectors, if the others are not there.
    width : int
        d.
    """

    names: tuple[str, ...] | None
    features_col: str | None
    width: int

    def name_feature(self, number: int) -> str:
        """Name one feature, the first by 0."""
        if self.names is not None:
            return self.names[number]
        return f"feature {number}" if self.features_col is None else f"{self.features_col}[{number}]"

    def pick(self, there: Sequence[str]) -> str | None:
        """Return the one column to read, or None if all of :attr:`names` are to be read.

        Raises
        ------
        DataError
            If the table has neither, or a name that is needed twice.
        """
        missing = [name for name in self.names or () if name not in there]
        wanted: list[str] = list(self.names or ())
        single = None
        if self.names is None or missing:
            if self.features_col is None or self.features_col not in there:
                raise DataError(self._describe_missing(missing, there))
            single = self.features_col
            wanted = [single]
        for name in wanted:
            if sum(one == name for one in there) > 1:
                raise DataError(f"the rows have several columns {name!r}; rename or drop all but one")
        return single

    def _describe_missing(self, missing: list[str], there: Sequence[str]) -> str:
        has = f"they have {shorten(', '.join(map(repr, there)), 300)}"
        if missing:
            return (
                f"the rows lack {shorten(', '.join(map(repr, missing)), 300)}; {has}: need a column for each feature, "
                "in any order"
            )
        return (
            f"the model does not know the names of its features, and {has}; pass an array (n, {self.width}) with the "
            "features in the model's order"
        )


def read_mapping(row: Mapping[str, Any], columns: Columns) -> Array:
    """Return one row, of values by name, as a block (d, 1)."""
    try:
        values = [row[name] for name in columns.names or ()]
    except KeyError:
        values = []
    if not values:
        single = columns.pick(list(map(str, row)))
        values = row[single]  # type: ignore[index]  # pick has raised if there is none
    found = to_array(values)
    if found is None or found.shape != (columns.width,):
        raise DataError(
            f"the row holds {shorten(repr(values), 300)}; need {columns.width} number(s), one for each feature; a dict "
            "is one row, many rows are a table or an array"
        )
    return found[:, None]


def is_table(value: Any) -> bool:
    """Return whether a value is a table: of pandas, of Arrow, or of a library that speaks Arrow's C interface."""
    return isinstance(value, pa.Table | pa.RecordBatch) or is_pandas(value) or hasattr(value, "__arrow_c_stream__")


def read_table(table: Any, columns: Columns, missing: bool = False) -> Decoded:
    """Read the features of a table, and find its bad rows; ``missing`` says whether null and NaN are missing values.

    Raises
    ------
    DataError
        If a column is missing, there twice, or does not hold numbers.
    """
    return _read_pandas(table, columns, missing) if is_pandas(table) else _read_arrow(to_arrow(table), columns, missing)


def is_pandas(value: Any) -> bool:
    """Return whether a value is a DataFrame of pandas."""
    pandas = sys.modules.get("pandas")  # whoever has a DataFrame has imported it
    return pandas is not None and isinstance(value, pandas.DataFrame)


def _read_pandas(table: Any, columns: Columns, missing: bool) -> Decoded:
    single = columns.pick(list(table.columns))
    m, reasons = len(table), {}
    if single is not None:
        rows = np.full((columns.width, m), np.nan)
        reasons = {NULL: np.zeros(m, bool), WIDTH: np.zeros(m, bool)}
        for number, value in enumerate(table[single]):
            row = None if value is None else to_array(value)
            if row is None or row.ndim == 0:
                if value is not None and not (row is not None and np.isnan(row)):
                    raise DataError(f"column {single!r} holds {describe_type(value)}; need arrays of numbers")
                reasons[NULL][number] = True
            elif row.shape != (columns.width,):
                reasons[WIDTH][number] = True
            else:
                rows[:, number] = row
        return find_bad_rows(rows, None, reasons, None, columns.name_feature, missing)
    types = sys.modules["pandas"].api.types
    rows, holes = np.empty((columns.width, m)), np.zeros((columns.width, m), bool)
    for number, name in enumerate(columns.names or ()):
        column = table[name]
        kind = column.dtype
        if not isinstance(kind, np.dtype) and types.is_numeric_dtype(kind) and not types.is_bool_dtype(kind):
            holes[number] = column.isna().to_numpy(bool)
            rows[number] = column.to_numpy(np.float64, na_value=np.nan)
            continue
        values = to_array(column.to_numpy()) if isinstance(kind, np.dtype) and kind.kind in "iufO" else None
        if values is None:
            raise DataError(f"column {name!r} is {kind}; need numbers (convert it)")
        if kind.kind == "O":
            holes[number] = column.isna().to_numpy(bool)
        rows[number] = values
    return _judge(rows, holes, columns, missing)


def to_arrow(table: Any) -> pa.Table:
    """Return a table of Arrow, of a batch, or of a library that speaks Arrow's C interface, as an Arrow table."""
    if isinstance(table, pa.Table):
        return table
    return pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else pa.table(table)


def _read_arrow(table: pa.Table, columns: Columns, missing: bool) -> Decoded:
    single = columns.pick(table.column_names)
    if single is not None:
        return _read_arrays(_combine(table, single), single, columns, missing)
    m = table.num_rows
    rows, holes = np.empty((columns.width, m)), np.zeros((columns.width, m), bool)
    for number, name in enumerate(columns.names or ()):
        column = _combine(table, name)
        kind = column.type
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        if not (numeric or pa.types.is_null(kind)):
            raise DataError(f"column {name!r} is {shorten(str(kind))}; need numbers (cast it)")
        rows[number] = decode_floats(column.cast(pa.float64(), safe=False), np.float64)
        if column.null_count:
            holes[number] = column.is_null().to_numpy(zero_copy_only=False)
    return _judge(rows, holes, columns, missing)


def _read_arrays(column: pa.Array, name: str, columns: Columns, missing: bool) -> Decoded:
    """Read a column of arrays, or of Vectors as Spark writes them to Parquet."""
    kind, holes = column.type, None
    reasons: dict[str, Mask]
    if any(is_list(kind) for is_list in _LISTS):
        try:
            lists = column.cast(pa.list_(pa.float64()), safe=False)
        except pa.ArrowException as error:
            raise DataError(f"column {name!r} is {shorten(str(kind))}; need arrays of numbers") from error
        rows, reasons, holes = decode_lists(lists, columns.width, np.float64)
    elif pa.types.is_struct(kind) and [one.name for one in kind] == ["type", "size", "indices", "values"]:
        rows, reasons = decode_vectors(column, columns.width)
    else:
        raise DataError(f"column {name!r} is {shorten(str(kind))}; need arrays of numbers, or Vectors of Spark")
    return find_bad_rows(rows, None, reasons, holes, columns.name_feature, missing)


def _combine(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _judge(rows: Array, holes: Mask, columns: Columns, missing: bool) -> Decoded:
    """Find the bad rows of numeric columns, of which some values are null."""
    reasons = {NULL: np.asarray(holes.any(axis=0))} if holes.any() else {}
    return find_bad_rows(rows, None, reasons, holes, columns.name_feature, missing)
