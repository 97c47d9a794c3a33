"""Columns of a table as blocks of floats: which columns, how they arrive from Arrow, and which rows are bad.

Three forms are read: one Vector column (dense or sparse), one array<double|float> column, or a list of numeric
columns. The driver checks names and types before any job; tasks check values, row by row but without a loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from gmm_spark.core.arrays import Array, Block
from gmm_spark.errors import DataError, ParameterError

HANDLE_INVALID = ("error", "skip", "keep")

# Reasons for which a row cannot be used; a row counts under the first that applies.
NULL, WIDTH, NOT_A_NUMBER, INFINITE, BAD_WEIGHT, NEGATIVE_WEIGHT = REASONS = (
    "null feature",
    "wrong width",
    "NaN feature",
    "infinite feature",
    "null, NaN or infinite weight",
    "negative weight",
)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Decoded:
    """One Arrow batch as floats.

    Attributes
    ----------
    rows : array (d, m)
        All rows of the batch, bad ones included.
    sample_weight : array (m,) or None
    good : array (m,) of bool, or None
        None where every row is good.
    bad : Counter
        Bad rows by reason.
    """

    rows: Block
    sample_weight: Array | None
    good: Mask | None
    bad: Counter[str]

    def usable(self) -> tuple[Block, Array | None]:
        """Rows (d, m') and weights of the good rows alone, where there are weights of those above 0.

        A row of no weight is left out since 0 times what it overflows to is not 0.
        """
        wanted, weight = self.good, self.sample_weight
        if weight is not None and not weight.all():
            wanted = weight > 0 if wanted is None else wanted & (weight > 0)
        if wanted is None:
            return self.rows, weight
        return self.rows[:, wanted], None if weight is None else weight[wanted]


@dataclass(frozen=True)
class Features:
    """Where a table's features are; made by :func:`resolve_features`, sent to the tasks.

    Attributes
    ----------
    columns : tuple of str
        One Vector or array column, or the numeric columns.
    form : {"vector", "array", "scalars"}
    width : int
        d.
    single : bool
        True where the source holds float32, so that blocks may too.
    weight : str or None
    """

    columns: tuple[str, ...]
    form: Literal["vector", "array", "scalars"]
    width: int
    single: bool
    weight: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each feature, (d,), for messages and reports."""
        if self.form == "scalars":
            return self.columns
        return tuple(f"{self.columns[0]}[{i}]" for i in range(self.width))

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """Type the features are kept in."""
        return np.float32 if self.single else np.float64

    def expressions(self) -> list[Column]:
        """List the columns that tasks need, and only those, in the types they decode: the features as one column.

        Numeric columns travel as one array: Spark hands a row to Arrow value by value, and an array's values cost
        it two thirds of what as many columns do. A UDF's arguments it boxes one by one besides, an array not.
        """
        number = "float" if self.single else "double"
        if self.form == "vector":
            features = _column(self.columns[0])
        elif self.form == "array":
            features = _column(self.columns[0]).cast(f"array<{number}>")
        else:
            features = F.array(*(_column(c).cast(number) for c in self.columns))
        return [features] + ([_column(self.weight).cast("double")] if self.weight else [])

    def select(self, table: DataFrame) -> DataFrame:
        """Project a table to :meth:`expressions`, under plain names that cannot clash."""
        return table.select(*(e.alias(f"c{i}") for i, e in enumerate(self.expressions())))

    def decode(self, columns: Sequence[pa.Array]) -> Decoded:
        """Turn the Arrow columns of one batch into floats and say which rows are bad."""
        if self.form == "vector":
            rows, reasons = _from_vectors(columns[0], self.width)
        else:
            rows, reasons = _from_lists(columns[0], self.width, self.dtype)
        weight = None
        if self.weight:
            weight = _floats(columns[-1], np.float64)
        return _judge(rows, weight, reasons)


def resolve_features(
    table: DataFrame, features_col: str, input_cols: Sequence[str] | None, weight_col: str | None, width: int | None
) -> Features | None:
    """Find the features of a table and check names and types.

    Parameters
    ----------
    table : DataFrame
    features_col : str
        A Vector or array column; not looked at where ``input_cols`` is given.
    input_cols : sequence of str, optional
        Numeric columns.
    weight_col : str, optional
    width : int, optional
        d where it is known already (scoring). Otherwise a Vector or array column's width is that of its first
        row that is not null, which takes a small job.

    Returns
    -------
    Features, or None where the width is unknown because no row has a value.

    Raises
    ------
    DataError
        Where a column is missing or has a type that cannot be read, or the width differs from ``width``.
    ParameterError
        Where ``input_cols`` is empty or names a column twice.
    """
    weight_type = None if weight_col is None else _type_of(table, weight_col, "weightCol")
    if weight_col is not None and not isinstance(weight_type, T.NumericType):
        raise DataError(f"weightCol={weight_col!r} is {_typename(weight_type)}; need a numeric column")
    if input_cols is not None:
        if not input_cols or len({c.lower() for c in input_cols}) < len(input_cols):
            raise ParameterError(f"inputCols={list(input_cols)!r}; need at least one column, none twice")
        types = [_type_of(table, c, "inputCols") for c in input_cols]
        for name, kind in zip(input_cols, types, strict=True):
            if not isinstance(kind, T.NumericType):
                raise DataError(f"inputCols: column {name!r} is {_typename(kind)}; need numeric columns (cast it)")
        if width is not None and width != len(input_cols):
            raise DataError(f"inputCols names {len(input_cols)} columns but the model has {width} features")
        single = all(isinstance(kind, T.FloatType) for kind in types)
        return Features(tuple(input_cols), "scalars", len(input_cols), single, weight_col)
    kind = _type_of(table, features_col, "featuresCol")
    if _typename(kind) == "vector":
        found = width or _first_width(table, features_col)
        return None if found is None else Features((features_col,), "vector", found, False, weight_col)
    if isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.NumericType):
        found = width or _first_width(table, features_col)
        single = isinstance(kind.elementType, T.FloatType)
        return None if found is None else Features((features_col,), "array", found, single, weight_col)
    raise DataError(
        f"featuresCol={features_col!r} is {_typename(kind)}; need a Vector or array<double> column, "
        "or numeric columns named in inputCols"
    )


def describe_bad(bad: Mapping[str, int]) -> str:
    """Word the counts of bad rows for a person."""
    return ", ".join(f"{count} with a {reason}" for reason, count in sorted(bad.items()))


def refused(bad: Mapping[str, int], strict: bool) -> bool:
    """Whether bad rows end the work: any where ``strict``, a negative weight in any case."""
    return bool(bad) and (strict or NEGATIVE_WEIGHT in bad)


def require_usable(bad: Mapping[str, int], features: Features, strict: bool) -> None:
    """Raise DataError where the bad rows that were found are to be refused."""
    if not refused(bad, strict):
        return
    if NEGATIVE_WEIGHT in bad:
        raise DataError(
            f"weightCol={features.weight!r} is negative in at least {bad[NEGATIVE_WEIGHT]} row(s); weights must be >= 0"
        )
    weighted = f" and weightCol {features.weight!r}" if features.weight else ""
    raise DataError(
        f"bad rows in {', '.join(features.columns)}{weighted}: at least {describe_bad(bad)} (d={features.width}); "
        "clean the table, or set handleInvalid to 'skip' or 'keep'"
    )


def require_rows(rows: int, bad: Mapping[str, int], features: Features) -> None:
    """Raise DataError where there is no row left."""
    if rows:
        return
    where = ", ".join(features.columns)
    skipped = f" ({describe_bad(bad)})" if bad else ""
    if features.weight:
        raise DataError(
            f"no usable row in {where} has a weightCol={features.weight!r} above 0{skipped}; check the filter and the "
            "columns, and give at least one row a positive weight"
        )
    raise DataError(f"no usable row in {where}{skipped}; check the filter and the columns")


def _column(name: str) -> Column:
    return F.col("`" + name.replace("`", "``") + "`")


def _type_of(table: DataFrame, name: str, parameter: str) -> T.DataType:
    for field in table.schema.fields:
        if field.name == name:
            return field.dataType
    for field in table.schema.fields:  # Spark itself resolves names without regard to case
        if field.name.lower() == name.lower():
            return field.dataType
    raise DataError(f"{parameter}: no column {name!r}; the table has {', '.join(map(repr, table.columns))}")


def _typename(kind: T.DataType | None) -> str:
    return "nothing" if kind is None else kind.simpleString()


def _first_width(table: DataFrame, name: str) -> int | None:
    """Width of a Vector or array column's first value; SQL cannot look into a Vector, so the value is fetched."""
    column = _column(name)
    first = table.select(column.alias("v")).where(F.col("v").isNotNull()).limit(1).collect()
    if first and not len(first[0]["v"]):
        raise DataError(f"featuresCol={name!r} has no elements in its first row; need at least one feature")
    return len(first[0]["v"]) if first else None


def _floats(column: pa.Array, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """Values with nulls as NaN, without a copy where there are none."""
    values = column.to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=dtype)


def _nulls(column: pa.Array) -> Mask | None:
    return column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None


def _from_lists(column: pa.Array, width: int, dtype: type[np.floating[Any]]) -> tuple[Block, dict[str, Mask]]:
    """Rows of a list column; those that are null, of another width, or hold a null are NaN."""
    m, nulls = len(column), _nulls(column)
    offsets = column.offsets.to_numpy().astype(np.int64)
    lengths = np.diff(offsets)
    values = _floats(column.values, dtype)
    if nulls is None and column.values.null_count == 0 and np.all(lengths == width):
        return values[offsets[0] : offsets[-1]].reshape(m, width).T, {}
    missing = np.zeros(m, bool) if nulls is None else nulls.copy()
    fits = ~missing & (lengths == width)
    rows = np.full((width, m), np.nan, dtype)
    rows[:, fits] = values[offsets[:-1][fits][None, :] + np.arange(width)[:, None]]
    wrong = ~missing & ~fits
    element_nulls = _nulls(column.values)
    if element_nulls is not None:
        holes = element_nulls[offsets[:-1][fits][None, :] + np.arange(width)[:, None]].any(axis=0)
        missing[np.flatnonzero(fits)[holes]] = True
    return rows, {NULL: missing, WIDTH: wrong}


def _from_vectors(column: pa.StructArray, width: int) -> tuple[Block, dict[str, Mask]]:
    """Rows of a Vector column: dense values as they are, sparse ones scattered among zeros."""
    # Arrow holds children without the parent's offset and nulls: flatten() applies both.
    kinds, sizes, indices, values = column.flatten()
    if column.null_count == 0 and kinds.null_count == 0 and np.all(kinds.to_numpy() == 1):
        return _from_lists(values, width, np.float64)
    missing = np.zeros(len(column), bool) if column.null_count == 0 else _nulls(column).copy()  # type: ignore[union-attr]
    kind = np.asarray(kinds.fill_null(1).to_numpy(zero_copy_only=False))
    sparse = ~missing & (kind == 0)
    dense_rows, reasons = _from_lists(values, width, np.float64)
    rows = np.array(dense_rows)
    size = np.asarray(sizes.fill_null(-1).to_numpy(zero_copy_only=False))
    wrong = reasons.get(WIDTH, np.zeros(len(column), bool)) & ~sparse | sparse & (size != width)
    fits = np.flatnonzero(sparse & (size == width))
    rows[:, fits] = 0.0
    starts, ends = indices.offsets.to_numpy()[:-1], indices.offsets.to_numpy()[1:]
    counts = (ends - starts)[fits]
    where = np.repeat(fits, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    at = np.repeat(starts[fits], counts) + within
    value_at = np.repeat(values.offsets.to_numpy()[:-1][fits], counts) + within
    rows[indices.values.to_numpy()[at], where] = values.values.to_numpy()[value_at]
    return rows, {NULL: missing, WIDTH: wrong}


def _judge(rows: Block, weight: Array | None, reasons: dict[str, Mask]) -> Decoded:
    """Find NaN, infinities and bad weights; where all rows are good that costs one sum."""
    with np.errstate(invalid="ignore", over="ignore"):
        finite = bool(np.isfinite(rows.sum()))  # a sum that overflows has the rows looked at, no more
    if not finite:
        reasons = dict(reasons)
        reasons[NOT_A_NUMBER] = np.asarray(np.isnan(rows).any(axis=0))
        reasons[INFINITE] = np.asarray(np.isinf(rows).any(axis=0))
    if weight is not None and not (np.isfinite(weight) & (weight >= 0)).all():
        reasons = dict(reasons)
        reasons[BAD_WEIGHT] = ~np.isfinite(weight)
        reasons[NEGATIVE_WEIGHT] = weight < 0
    bad: Counter[str] = Counter()
    good = np.ones(rows.shape[1], bool)
    for reason in REASONS:
        if reason in reasons:
            bad[reason] = int((good & reasons[reason]).sum())
            good &= ~reasons[reason]
    return Decoded(rows, weight, None if good.all() else good, +bad)
