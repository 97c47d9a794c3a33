"""Which parts of which files a table is, if it is a plain scan of Parquet files: asked of Spark's own plan.

Spark's plans are not a public interface. Whatever a plan has that is not known here, or that another version of Spark
tells otherwise, leaves the table to Spark, and so does Spark Connect, which shows no plans.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import types as T

from gmm_spark.spark.columns import Features, column_of
from gmm_spark.spark.packing.parquet_scan import NotPlainError, ParquetScan, Range

PACKINGS = ("auto", "spark", "parquet")

# Ranges of files up to which the driver asks Spark for each: a call to the JVM takes a fraction of a millisecond.
MOST_RANGES = 20_000
_NUMBERS: dict[T.DataType, pa.DataType] = {
    T.FloatType(): pa.float32(),
    T.DoubleType(): pa.float64(),
    T.ByteType(): pa.int8(),
    T.ShortType(): pa.int16(),
    T.IntegerType(): pa.int32(),
    T.LongType(): pa.int64(),
}
_VECTOR = pa.struct(
    [("type", pa.int8()), ("size", pa.int32()), ("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))]
)
_PLAIN_FORMAT = "org.apache.spark.sql.execution.datasources.parquet.ParquetFileFormat"
_TOLERANT = ("spark.sql.files.ignoreCorruptFiles", "spark.sql.files.ignoreMissingFiles")


def find_scan(table: DataFrame, features: Features, selected: DataFrame) -> ParquetScan:
    """Find the files of a table that is a plain scan of Parquet files.

    Parameters
    ----------
    table : DataFrame
    features : Features
    selected : DataFrame
        The table's projection that Spark would read (:meth:`Features.select`).

    Raises
    ------
    NotPlainError
        If it is not, or Spark does not tell.
    """
    spark = table.sparkSession
    if not hasattr(table, "_jdf"):
        raise NotPlainError("Spark Connect does not tell which files a table is")
    for key in _TOLERANT:
        if str(spark.conf.get(key, "false")).lower() == "true":
            raise NotPlainError(f"{key} is on")
    names = [*features.columns, *([features.weight] if features.weight else [])]
    types = tuple(_file_type(table, name) for name in names)
    try:
        columns = _file_columns(table.select(*_distinct(names)), names)
        partitions = _list_ranges(selected)
    except NotPlainError:
        raise
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotPlainError(f"the plan of this version of Spark could not be read: {told}") from error
    if not partitions:
        raise NotPlainError("it has no files")
    _require_tiles(partitions)
    return ParquetScan(partitions, columns, types, features)


def _distinct(names: Sequence[str]) -> list[Column]:
    return [column_of(name).alias(f"c{i}") for i, name in enumerate(names)]


def _file_type(table: DataFrame, name: str) -> pa.DataType:
    (kind,) = (field.dataType for field in table.select(column_of(name)).schema.fields)
    if kind.simpleString() == "vector":
        return _VECTOR
    listed = isinstance(kind, T.ArrayType)
    element: T.DataType = kind.elementType if isinstance(kind, T.ArrayType) else kind
    number = _NUMBERS.get(element)
    if number is None:
        raise NotPlainError(f"{name!r} is {kind.simpleString()}, which Spark alone converts")
    return pa.list_(number) if listed else number


def _file_columns(plain: DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names within the files, from the optimized plan: a projection of columns over one relation, or none.

    Raises NotPlainError for any other plan.
    """
    plan = plain._jdf.queryExecution().optimizedPlan()
    projected = plan
    if _class(plan) == "Project":
        plan = plan.children().head()
    if _class(plan) != "LogicalRelation":
        raise NotPlainError(f"its plan is no plain scan of files: it has a {plan.nodeName()}")
    relation = plan.relation()
    if _class(relation) != "HadoopFsRelation":
        raise NotPlainError(f"it is a {_class(relation)}, no files")
    if relation.fileFormat().getClass().getName() != _PLAIN_FORMAT:
        raise NotPlainError(f"its files are of the format {relation.fileFormat().toString()}, not plain Parquet")
    if relation.bucketSpec().isDefined():
        raise NotPlainError("it is bucketed")
    outside = set(relation.partitionSchema().fieldNames())
    wanted = projected.projectList() if projected is not plan else plan.output()
    found = []
    for i, name in enumerate(names):
        expression = wanted.apply(i)
        if _class(expression) == "Alias":
            expression = expression.child()
        if _class(expression) != "AttributeReference":
            raise NotPlainError(f"{name!r} is computed, not read")
        if expression.name() in outside:
            raise NotPlainError(f"{name!r} is a partition column, which is not in the files")
        found.append(expression.name())
    return tuple(found)


def _list_ranges(selected: DataFrame) -> tuple[tuple[Range, ...], ...]:
    """List what Spark would read, partition by partition."""
    plan = selected._jdf.queryExecution().executedPlan()
    while plan.children().size() == 1:
        plan = plan.children().head()
    if _class(plan) != "FileSourceScanExec":
        raise NotPlainError(f"Spark reads it by a {_class(plan)}")
    partitions = plan.inputRDD().filePartitions()
    found: list[tuple[Range, ...]] = []
    count = 0
    for i in range(partitions.size()):
        files = partitions.apply(i).files()
        count += len(files)
        if count > MOST_RANGES:
            raise NotPlainError(f"it has more than {MOST_RANGES:,} files or parts of files")
        found.append(tuple(_range_of(file) for file in files))
    return tuple(found)


def _range_of(file: Any) -> Range:
    address = urlsplit(file.urlEncodedPath())
    if address.scheme != "file" or address.netloc:
        raise NotPlainError(f"its files are at {address.scheme}://, not in a directory that executors share")
    start = file.start()
    return Range(unquote(address.path), start, start + file.length(), file.fileSize(), file.modificationTime())


def _require_tiles(partitions: Sequence[Sequence[Range]]) -> None:
    """Raise NotPlainError unless the ranges of each file cover it without gaps, once."""
    by_file = defaultdict(list)
    for part in (part for parts in partitions for part in parts):
        by_file[part.path].append(part)
    for path, parts in by_file.items():
        ends = [0]
        for part in sorted(parts, key=lambda part: part.start):
            if part.start != ends[-1]:
                break
            ends.append(part.end)
        if len(ends) <= len(parts) or ends[-1] != parts[0].size:
            raise NotPlainError(f"Spark would read only a part of {path}")


def _class(jvm: Any) -> str:
    return str(jvm.getClass().getSimpleName())
