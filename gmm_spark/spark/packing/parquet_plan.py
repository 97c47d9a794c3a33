"""Which parts of which files a table is, if it is a plain scan of Parquet files: asked of Spark's own plan.

Spark's plans are not a public interface. Whatever a plan has that is not known here, or that another version of Spark
tells otherwise, leaves the table to Spark, and so does Spark Connect, which shows no plans.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from gmm_spark.spark.columns import Features
from gmm_spark.spark.names import name_folding, quote
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
# What stands between a scan and its reader in a physical plan, and keeps all rows in their order.
_KEEPING = {"ColumnarToRowExec", "InputAdapter", "ProjectExec", "WholeStageCodegenExec"}
# Settings that make Spark pass over files that pyarrow may read, or find columns by another rule than their names. The
# first two may also be options of a reader.
_TOLERANT = ("ignoreCorruptFiles", "ignoreMissingFiles")
_UNLIKE = (*(f"spark.sql.files.{option}" for option in _TOLERANT), "spark.sql.parquet.fieldId.read.enabled")


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
    for key in _UNLIKE:
        if str(spark.conf.get(key, "false")).strip().lower() == "true":
            raise NotPlainError(f"{key} is on")
    names = [*features.columns, *([features.weight] if features.weight else [])]
    plain = table.selectExpr(*map(quote, names))  # texts: a Column takes several calls to the JVM
    types = tuple(_file_type(field.dataType, name) for field, name in zip(plain.schema.fields, names, strict=True))
    try:
        columns = _file_columns(plain, names)
        partitions = _list_ranges(selected, columns)
    except NotPlainError:
        raise
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotPlainError(f"the plan of this version of Spark could not be read: {told}") from error
    if not partitions:
        raise NotPlainError("it has no files")
    _require_tiles(partitions)
    return ParquetScan(partitions, columns, types, features, name_folding(spark))


def _file_type(kind: T.DataType, name: str) -> pa.DataType:
    if kind.simpleString() == "vector":
        return _VECTOR
    listed = isinstance(kind, T.ArrayType)
    element: T.DataType = kind.elementType if isinstance(kind, T.ArrayType) else kind
    number = _NUMBERS.get(element)
    if number is None:
        raise NotPlainError(f"{name!r} is {kind.simpleString()}, which Spark alone converts")
    return pa.list_(number) if listed else number


def _file_columns(plain: DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the files, from the optimized plan: a projection of columns over one relation, or none.

    Raises NotPlainError for any other plan.
    """
    plan = top = plain._jdf.queryExecution().optimizedPlan()
    if _class(plan) == "Project":
        plan = plan.children().head()
    if _class(plan) != "LogicalRelation":
        raise NotPlainError(f"its plan is no plain scan of files: it has a {plan.nodeName()}")
    relation = plan.relation()
    if _class(relation) != "HadoopFsRelation":
        raise NotPlainError(f"it is a {_class(relation)}, no files")
    if relation.fileFormat().getClass().getName() != _PLAIN_FORMAT:
        raise NotPlainError(f"its files are of the format {relation.fileFormat().toString()}, not plain Parquet")
    if not relation.sparkSession().equals(plain.sparkSession._jsparkSession):
        raise NotPlainError("it is of another session, whose settings may differ")
    if relation.bucketSpec().isDefined():
        raise NotPlainError("it is bucketed")
    given = relation.options().keys().mkString("\n").lower().split("\n")
    for option in _TOLERANT:
        if option.lower() in given:
            raise NotPlainError(f"it is read with the option {option}")
    roots = relation.location().rootPaths()
    if roots.nonEmpty():
        _require_shared(roots.head().toUri().getScheme())  # before all files are listed
    outside = _names(relation.partitionSchema())
    nodes = json.loads(top.toJSON())  # one call to the JVM, however many columns there are
    columns = {_id_of([own]): own["name"] for (own,) in nodes[-1]["output"]}
    found = []
    for name, expression in zip(names, nodes[0].get("projectList", nodes[0].get("output")), strict=True):
        column = columns.get(_id_of(expression))
        if column is None:
            raise NotPlainError(f"{name!r} is computed, not read")
        if column in outside:
            raise NotPlainError(f"{name!r} is a partition column, which is not in the files")
        found.append(column)
    return tuple(found)


def _id_of(expression: Sequence[Mapping[str, Any]]) -> tuple[int, str] | None:
    """Return Spark's id of the column that an expression is, called by a name of its own or not; None if computed."""
    kinds = [str(node["class"]).rpartition(".")[2] for node in expression]
    if kinds[-1] != "AttributeReference" or kinds[:-1] not in ([], ["Alias"]):
        return None
    found = expression[-1]["exprId"]
    return found["id"], found["jvmId"]


def _list_ranges(selected: DataFrame, columns: Sequence[str]) -> tuple[tuple[Range, ...], ...]:
    """List what Spark would read, partition by partition."""
    plan = selected._jdf.queryExecution().executedPlan()
    while _class(plan) in _KEEPING:
        plan = plan.children().head()
    if _class(plan) != "FileSourceScanExec":
        raise NotPlainError(f"Spark reads it by a {_class(plan)}")
    if not (plan.dataFilters().isEmpty() and plan.partitionFilters().isEmpty()):
        raise NotPlainError("Spark leaves out rows while it reads")
    if _names(plan.requiredSchema()) != set(columns):
        raise NotPlainError("Spark reads other columns of its files")
    partitions = plan.inputRDD().filePartitions()
    files = [partitions.apply(i).files() for i in range(min(partitions.size(), MOST_RANGES + 1))]
    if sum(map(len, files)) > MOST_RANGES or len(files) > MOST_RANGES:
        raise NotPlainError(f"it has more than {MOST_RANGES:,} files or parts of files")
    return tuple(tuple(map(_range_of, own)) for own in files)


def _names(schema: Any) -> set[str]:
    return {field["name"] for field in json.loads(schema.json())["fields"]}


def _range_of(file: Any) -> Range:
    address = urlsplit(file.urlEncodedPath())
    _require_shared(address.scheme if not address.netloc else f"{address.scheme}://{address.netloc}")
    start = file.start()
    return Range(unquote(address.path), start, start + file.length(), file.fileSize(), file.modificationTime())


def _require_shared(scheme: str) -> None:
    if scheme != "file":
        raise NotPlainError(f"its files are at {scheme}:, not in a directory that executors share")


def _require_tiles(partitions: Sequence[Sequence[Range]]) -> None:
    """Raise NotPlainError unless the ranges of each file cover it without gaps, once.

    A file is read twice if it was named twice, or two partitions lie in one directory.
    """
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
            raise NotPlainError(f"Spark would not read all of {path} just once")


def _class(jvm: Any) -> str:
    return str(jvm.getClass().getSimpleName())
