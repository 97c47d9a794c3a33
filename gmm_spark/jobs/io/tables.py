"""Tables in and out of a job."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.jobs.config.secrets import reveal
from gmm_spark.jobs.config.sections import InputSection
from gmm_spark.jobs.io.publishing import published

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_table(spark: SparkSession, source: InputSection) -> DataFrame:
    """Return the table that a configuration names, its condition applied.

    Raises
    ------
    DataError
        When there is no such path or table, or it is not of the format.
    ConfigurationError
        When the condition is not Spark SQL.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException, ParseException

    reader = spark.read.options(**reveal(source.options))
    try:
        rows = reader.table(source.table) if source.table else reader.format(source.format).load(source.path)
        columns = rows.columns  # over Spark Connect nothing is looked up before it is asked for
    except (AnalysisException, Py4JJavaError) as error:  # the latter where there is no such format
        named = f"input.table: got {source.table!r}" if source.table else f"input.path: got {source.path!r}"
        raise DataError(f"{named}, which cannot be read as {source.format}: {first_line(error)}") from error
    if source.where is None:
        return rows
    try:
        kept = rows.where(source.where)
        kept.schema  # noqa: B018 - asks for the analysis, as above
    except ParseException as error:
        raise ConfigurationError(
            f"input.where: got {source.where!r}, needs a Spark SQL condition: {first_line(error)}"
        ) from error
    except AnalysisException as error:
        raise DataError(
            f"input.where: got {source.where!r}, which the table's columns ({', '.join(columns)}) do not allow: "
            f"{first_line(error)}"
        ) from error
    return kept


def require_columns(rows: DataFrame, key: str, names: Sequence[str]) -> None:
    """Refuse columns that a table does not have, all in one message.

    Raises
    ------
    DataError
        Naming the missing columns and those there are.
    """
    there = {name.lower() for name in rows.columns}  # Spark's names do not tell upper from lower case
    missing = [name for name in names if name != "*" and name.lower() not in there]
    if missing:
        raise DataError(f"{key}: got {', '.join(missing)}, which the table lacks; it has {', '.join(rows.columns)}")


def feature_parameters(rows: DataFrame, columns: Sequence[str]) -> dict[str, Any]:
    """Return the parameter that names feature columns: ``featuresCol`` for one Vector or array, else ``inputCols``.

    Raises
    ------
    DataError
        When the table lacks a column.
    """
    from pyspark.sql.types import NumericType

    require_columns(rows, "features.columns", columns)
    if len(columns) == 1:
        (field,) = [field for field in rows.schema if field.name.lower() == columns[0].lower()][:1]
        if not isinstance(field.dataType, NumericType):
            return {"featuresCol": columns[0]}
    return {"inputCols": list(columns)}


def select_columns(rows: DataFrame, kept: Sequence[str], appended: Sequence[str]) -> DataFrame:
    """Return a table of the columns to keep, ``*`` being all, followed by those that were appended to it."""
    if "*" in kept:
        return rows
    # Quoted, since a dot in a column's name would otherwise ask for a field of a struct.
    return rows.select(*(f"`{name.replace('`', '``')}`" for name in (*kept, *appended)))


def require_partitioning(rows: DataFrame, partition_by: Sequence[str]) -> None:
    """Refuse to partition by columns that are not written, or by all of them.

    Raises
    ------
    ConfigurationError
        Naming the columns.
    """
    missing = [name for name in partition_by if name not in rows.columns]
    if missing:
        raise ConfigurationError(
            f"output.partition_by: got {', '.join(missing)}, needs columns of the output: {', '.join(rows.columns)}"
        )
    if set(rows.columns) <= set(partition_by):
        raise ConfigurationError("output.partition_by: got every column, needs to leave one to write")


def write_table(rows: DataFrame, path: str, mode: str, partition_by: Sequence[str] = ()) -> None:
    """Write a table as Parquet: whole or not at all, and over its own source if need be.

    Parameters
    ----------
    rows : DataFrame
    path : str
    mode : str
        ``append`` adds files to what is there, and Spark shows them when all are written; for any other mode
        the caller has asked :func:`~gmm_spark.jobs.io.publishing.require_publishable`.
    partition_by : sequence of str
        Columns to partition the files by.
    """
    if mode == "append":
        rows.write.mode("append").partitionBy(*partition_by).parquet(path)
        return
    with published(rows.sparkSession, path) as staging:
        rows.write.partitionBy(*partition_by).parquet(staging)


def first_line(error: Exception | str) -> str:
    """Return what Spark says without the query plan or the stack that follows it."""
    lines = [line.strip().rstrip(";") for line in str(error).splitlines() if line.strip()]
    # Spark's own sentence begins with its condition in brackets, after what py4j or Java may say before it.
    told = [line[line.index("[") :] for line in lines if re.search(r"(^|: )\[[A-Z_.0-9]+\]", line)]
    return (told or lines or [""])[0]
