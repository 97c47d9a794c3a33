"""Columns of a table as features: which columns, of which types, and what to do about bad rows.

Three forms are read: one Vector column (dense or sparse), one array<double|float> column, or a list of numeric
columns. The driver checks names and types before any job; tasks decode values, see :mod:`gmm_spark.spark.decoding`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from gmm_spark.core.arrays import Array, Block
from gmm_spark.errors import DataError, ParameterError
from gmm_spark.spark.decoding import (
    COUNTED_FEATURES,
    NEGATIVE_WEIGHT,
    Decoded,
    decode_floats,
    decode_lists,
    decode_vectors,
    describe_bad,
    find_bad_rows,
)
from gmm_spark.spark.names import name_folding, quote

# Types whose large values float64 must round.
_EXACT_TYPES = (T.LongType, T.DecimalType)
# Rows whose widths are looked at to find d.
_WIDTH_ROWS = 1_000
# Bytes of decoded rows at a time. Spark counts the rows of a batch, and sparse vectors grow when they are decoded.
DECODED_BYTES = 1 << 26


@dataclass(frozen=True)
class Features:
    """Columns that hold a table's features; :func:`resolve_features` makes it, tasks receive it.

    Attributes
    ----------
    columns : tuple of str
        One Vector or array column, or the numeric columns.
    form : {"vector", "array", "scalars"}
    width : int
        d.
    single : bool
        True if the columns hold float32: blocks then do too.
    weight : str or None
    exact : tuple of str
        Those of the columns that hold long or decimal, whose large values float64 must round.
    missing : bool
        True if null and NaN are missing values: rows with some are usable, and have NaN there.
    """

    columns: tuple[str, ...]
    form: Literal["vector", "array", "scalars"]
    width: int
    single: bool
    weight: str | None = None
    exact: tuple[str, ...] = ()
    missing: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the d features, for messages and reports."""
        if self.form == "scalars":
            return self.columns
        return tuple(map(self.name_feature, range(self.width)))

    def name_feature(self, number: int) -> str:
        """Name one feature, the first by 0."""
        return self.columns[number] if self.form == "scalars" else f"{self.columns[0]}[{number}]"

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """Type of the features in blocks."""
        return np.float32 if self.single else np.float64

    def expressions(self) -> list[Column]:
        """List the columns that tasks need: the features as one column, then the weight if there is one.

        Numeric columns travel as one array. Spark passes rows to Arrow value by value, and the values of an array cost
        two thirds of what those of separate columns do; a UDF also boxes each of its arguments.
        """
        number = "float" if self.single else "double"
        if self.form == "vector":
            features = column_of(self.columns[0])
        elif self.form == "array":
            features = column_of(self.columns[0]).cast(f"array<{number}>")
        else:
            features = F.array(*(column_of(c).cast(number) for c in self.columns))
        return [features] + ([column_of(self.weight).cast("double")] if self.weight else [])

    def has_missing(self) -> Column:
        """Whether a value of a row is null or NaN, as a column; null if the whole Vector or array is."""
        if self.form == "scalars":
            values = [column_of(name).cast("double") for name in self.columns]
            holes: list[Column] = [value.isNull() | F.isnan(value) for value in values]
            return reduce(or_, holes)
        column = self.expressions()[0]
        if self.form == "vector":
            column = F.unwrap_udt(column)["values"]
        return F.exists(column, lambda value: value.isNull() | F.isnan(value))

    def select(self, table: DataFrame) -> DataFrame:
        """Project a table to :meth:`expressions`, under plain names that cannot clash."""
        return table.select(*(e.alias(f"c{i}") for i, e in enumerate(self.expressions())))

    def decode_in_parts(self, columns: Sequence[pa.Array]) -> Iterator[Decoded]:
        """Decode the Arrow columns of one batch, no more than :data:`DECODED_BYTES` of rows at a time."""
        step, rows = max(DECODED_BYTES // (8 * self.width), 1), len(columns[0])
        for start in range(0, max(rows, 1), step):
            yield self.decode([column.slice(start, step) for column in columns] if rows > step else columns)

    def decode(self, columns: Sequence[pa.Array]) -> Decoded:
        """Decode the Arrow columns of one batch and find its bad rows."""
        if self.form == "vector":
            rows, reasons = decode_vectors(columns[0], self.width)
            holes = None
        else:
            rows, reasons, holes = decode_lists(columns[0], self.width, self.dtype)
        weight = decode_floats(columns[-1], np.float64) if self.weight else None
        name = self.name_feature if self.width <= COUNTED_FEATURES else None
        return find_bad_rows(rows, weight, reasons, holes, name, self.missing)

    def usable_rows(
        self, stream: Iterator[pa.RecordBatch], bad: Counter[str], strict: bool
    ) -> Iterator[tuple[Block, Array | None]]:
        """Decode a task's batches; yield the usable rows (d, m) and weights (m,) of each.

        Parameters
        ----------
        stream : iterator of RecordBatch
            As :meth:`select` projects them.
        bad : Counter
            Bad rows by reason; this call adds those that it finds.
        strict : bool
            Stop at the first batch with a bad row. A negative weight always stops.
        """
        for batch in stream:
            for decoded in self.decode_in_parts(batch.columns):
                bad.update(decoded.bad)
                if must_refuse(bad, strict):
                    return
                yield decoded.usable()


def resolve_features(
    table: DataFrame, features_col: str, input_cols: Sequence[str] | None, weight_col: str | None, width: int | None
) -> Features | None:
    """Find the features of a table and check names and types.

    Parameters
    ----------
    table : DataFrame
    features_col : str
        A Vector or array column; ignored if ``input_cols`` is given.
    input_cols : sequence of str, optional
        Numeric columns.
    weight_col : str, optional
    width : int, optional
        d if it is known (scoring). Otherwise the metadata of a Vector or array column gives it, or the width that most
        of its first rows have, which takes a small job.

    Returns
    -------
    Features, or None if the width is unknown because no row has a value.

    Raises
    ------
    DataError
        If a column is missing, is there twice or has a type that cannot be read, or the width differs from ``width``.
    ParameterError
        If ``input_cols`` is empty or names a column twice.
    """
    weight_type = None if weight_col is None else _type_of(table, weight_col, "weightCol")
    if weight_col is not None and not isinstance(weight_type, T.NumericType):
        raise DataError(f"weightCol={weight_col!r} is {_typename(weight_type)}; need a numeric column")
    if input_cols is not None:
        if not input_cols or len(set(map(name_folding(table.sparkSession), input_cols))) < len(input_cols):
            raise ParameterError(f"inputCols={list(input_cols)!r}; need at least one column, none twice")
        types = [_type_of(table, c, "inputCols") for c in input_cols]
        for name, kind in zip(input_cols, types, strict=True):
            if not isinstance(kind, T.NumericType):
                raise DataError(f"inputCols: column {name!r} is {_typename(kind)}; need numeric columns (cast it)")
        if width is not None and width != len(input_cols):
            raise DataError(f"inputCols names {len(input_cols)} columns but the model has {width} features")
        single = all(isinstance(kind, T.FloatType) for kind in types)
        exact = tuple(name for name, kind in zip(input_cols, types, strict=True) if isinstance(kind, _EXACT_TYPES))
        return Features(tuple(input_cols), "scalars", len(input_cols), single, weight_col, exact)
    kind = _type_of(table, features_col, "featuresCol")
    if _typename(kind) == "vector":
        found = width or _find_width(table, features_col, vectors=True)
        return None if found is None else Features((features_col,), "vector", found, False, weight_col)
    if isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.NumericType):
        found = width or _find_width(table, features_col, vectors=False)
        single = isinstance(kind.elementType, T.FloatType)
        exact = (features_col,) if isinstance(kind.elementType, _EXACT_TYPES) else ()
        return None if found is None else Features((features_col,), "array", found, single, weight_col, exact)
    raise DataError(
        f"featuresCol={features_col!r} is {_typename(kind)}; need a Vector or array<double> column, "
        "or numeric columns named in inputCols"
    )


def require_distinct(spark: SparkSession, names: Sequence[str]) -> None:
    """Raise ParameterError if Spark would take two names of output columns for one."""
    if len(set(map(name_folding(spark), names))) < len(names):
        raise ParameterError(f"output columns {', '.join(map(repr, names))} repeat a name; each needs its own")


def require_batch(table: DataFrame) -> None:
    """Raise DataError if the table is a stream; only scoring row by row can read one."""
    if table.isStreaming:
        raise DataError(
            "the table is a stream, whose rows cannot be read again; fit or evaluate a table at rest: write the stream "
            "to one, or call this on each micro-batch in stream.writeStream.foreachBatch(...). A fitted model's "
            "transform does work on a stream"
        )


def must_refuse(bad: Mapping[str, int], strict: bool) -> bool:
    """Whether bad rows must be refused: all of them if ``strict``, otherwise only negative weights."""
    return bool(bad) and (strict or NEGATIVE_WEIGHT in bad)


def require_usable(bad: Mapping[str, int], features: Features, strict: bool) -> None:
    """Raise DataError if there are bad rows that must be refused."""
    if not must_refuse(bad, strict):
        return
    if NEGATIVE_WEIGHT in bad:
        raise DataError(
            f"weightCol={features.weight!r} is negative in at least {bad[NEGATIVE_WEIGHT]} row(s); weights must be >= 0"
        )
    weighted = f" and weightCol {features.weight!r}" if features.weight else ""
    raise DataError(
        f"bad rows in {', '.join(features.columns)}{weighted}: at least {describe_bad(bad)} (d={features.width}); "
        "clean the table, or set handleInvalid to 'skip' or 'keep', or to 'marginal' if null and NaN are missing values"
    )


def require_few_bad(bad: int, rows: int, most: float, described: str = "") -> None:
    """Raise DataError if more than a share ``most`` of the rows is bad; ``rows`` counts the bad ones too."""
    if rows and bad / rows > most:
        raise DataError(
            f"{bad:,} of {rows:,} rows are bad ({bad / rows:.2%}){described}, more than features.max_bad_fraction="
            f"{most:g} allows; look at the table, or raise it"
        )


def require_rows(rows: int, bad: Mapping[str, int], features: Features) -> None:
    """Raise DataError if no row is left."""
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


def column_of(name: str) -> Column:
    """Return the column of a name, whatever characters it has."""
    return F.col(quote(name))


def _type_of(table: DataFrame, name: str, parameter: str) -> T.DataType:
    return _field(table, name, parameter).dataType


def _field(table: DataFrame, name: str, parameter: str) -> T.StructField:
    """Find the one column of a name; raises DataError if there is none, or several."""
    fold = name_folding(table.sparkSession)
    found = [field for field in table.schema.fields if fold(field.name) == fold(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{parameter}: the table has {len(found)} columns {', '.join(repr(f.name) for f in found)}, and {name!r} "
            "may be any of them; rename or drop all but one"
        )
    structs = (f.name for f in table.schema.fields if isinstance(f.dataType, T.StructType))
    for struct in structs:
        if fold(name).startswith(fold(struct) + "."):
            raise DataError(
                f"{parameter}: no column {name!r}; the field of a struct must be a column first: "
                f'table.select("*", "{name}") makes it {name[len(struct) + 1 :].rpartition(".")[2]!r}'
            )
    raise DataError(f"{parameter}: no column {name!r}; the table has {', '.join(map(repr, table.columns))}")


def _typename(kind: T.DataType | None) -> str:
    return "nothing" if kind is None else kind.simpleString()


def _find_width(table: DataFrame, name: str, vectors: bool) -> int | None:
    """Find d of a Vector or array column: from its metadata, else the width of most of its first rows.

    One row must not decide: it may be the bad one. Only widths reach the driver. None if every row is null.
    """
    metadata = _field(table, name, "featuresCol").metadata.get("ml_attr", {})
    if metadata.get("num_attrs"):
        return int(metadata["num_attrs"])
    require_batch(table)
    column = column_of(name)
    width = F.size(column)
    if vectors:
        parts = F.unwrap_udt(column)  # only a sparse Vector has a size
        width = F.coalesce(parts["size"], F.size(parts["values"]))
    widths = table.where(column.isNotNull()).select(width.alias("width")).limit(_WIDTH_ROWS).collect()
    if not widths:
        return None
    ((most, _),) = Counter(row["width"] for row in widths).most_common(1)  # of equally many, the one that came first
    if not most:
        raise DataError(f"featuresCol={name!r} has no elements in most of its first rows; need at least one feature")
    return int(most)
