"""Tables that jobs read and write, and checks of their columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.jobs.config.secrets import reveal
from gmm_spark.jobs.config.sections import InputSection, TableOutputSection
from gmm_spark.jobs.io.publishing import publish, require_publishable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_table(spark: SparkSession, source: InputSection) -> DataFrame:
    """Return the table that a configuration names, filtered by its condition.

    Raises
    ------
    DataError
        If there is no such path or table, if it has another format, or if the condition does not fit its columns.
    ConfigurationError
        If the condition is not Spark SQL.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException

    reader = spark.read.options(**reveal(source.options))
    try:
        rows = reader.table(source.table) if source.table else reader.format(source.format).load(source.path)
        rows.columns  # noqa: B018 - over Spark Connect nothing is looked up before it is asked for
    except (AnalysisException, Py4JJavaError) as error:  # the latter if Spark does not know the format
        named = f"input.table: got {source.table!r}" if source.table else f"input.path: got {source.path!r}"
        raise DataError(f"{named}, which cannot be read as {source.format}: {shorten_error(error)}") from error
    return rows if source.where is None else _filter(rows, source.where)


def _filter(rows: DataFrame, condition: str) -> DataFrame:
    from pyspark.errors import AnalysisException, ParseException

    try:
        kept = rows.where(condition)
        kept.schema  # noqa: B018 - over Spark Connect the condition is not analysed before this
    except ParseException as error:
        raise ConfigurationError(
            f"input.where: got {condition!r}, needs a Spark SQL condition: {shorten_error(error)}"
        ) from error
    except AnalysisException as error:
        raise DataError(
            f"input.where: got {condition!r}, which the table's columns ({', '.join(rows.columns)}) do not allow: "
            f"{shorten_error(error)}"
        ) from error
    return kept


def require_columns(rows: DataFrame, key: str, names: Sequence[str]) -> None:
    """Refuse columns that a table does not have, all in one message.

    Raises
    ------
    DataError
        Lists the missing columns and the existing ones.
    """
    there = {name.lower() for name in rows.columns}  # Spark ignores the case of names
    missing = [name for name in names if name != "*" and name.lower() not in there]
    if missing:
        raise DataError(f"{key}: got {', '.join(missing)}, which the table lacks; it has {', '.join(rows.columns)}")


def feature_parameters(rows: DataFrame, columns: Sequence[str]) -> dict[str, Any]:
    """Return the estimator's parameter for the feature columns: ``featuresCol`` or ``inputCols``.

    It is ``featuresCol`` for a single Vector or array column, and ``inputCols`` for numeric columns.

    Raises
    ------
    DataError
        If the table lacks a column.
    """
    from pyspark.sql.types import NumericType

    from gmm_spark.spark.columns import name_folding

    require_columns(rows, "features.columns", columns)
    if len(columns) == 1:
        fold = name_folding(rows.sparkSession)
        (field,) = [field for field in rows.schema if fold(field.name) == fold(columns[0])][:1]
        if not isinstance(field.dataType, NumericType):
            return {"featuresCol": columns[0]}
    return {"inputCols": list(columns)}


def select_columns(rows: DataFrame, kept: Sequence[str], appended: Sequence[str]) -> DataFrame:
    """Return the columns to keep (``*`` keeps all), followed by those that were appended."""
    if "*" in kept:
        return rows
    # Without quotes, a dot in a column's name would ask for a field of a struct.
    return rows.select(*(f"`{name.replace('`', '``')}`" for name in (*kept, *appended)))


def require_partitioning(rows: DataFrame, partition_by: Sequence[str]) -> None:
    """Refuse to partition by columns that are not written, or by all columns.

    Raises
    ------
    ConfigurationError
        Lists the columns.
    """
    missing = [name for name in partition_by if name not in rows.columns]
    if missing:
        raise ConfigurationError(
            f"output.partition_by: got {', '.join(missing)}, needs columns of the output: {', '.join(rows.columns)}"
        )
    if set(rows.columns) <= set(partition_by):
        raise ConfigurationError("output.partition_by: got every column, needs to leave one to write")


def require_writable(spark: SparkSession, output: TableOutputSection) -> None:
    """Refuse, before any work is done, a table that could not be written later.

    Raises
    ------
    ConfigurationError
        If the table exists and must not be replaced, or cannot be replaced safely.
    """
    if output.mode != "append":
        overwrite = output.mode == "overwrite"
        require_publishable(spark, "output.path", output.path, overwrite, 'output.mode = "overwrite"')


def require_static_overwrite(spark: SparkSession, mode: str, partition_by: Sequence[str]) -> None:
    """Refuse to overwrite a partitioned table if Spark is set to keep the partitions that are not written.

    The jobs replace a table as a whole, so those partitions would be lost.

    Raises
    ------
    ConfigurationError
        If ``mode`` is "overwrite", there are columns to partition by, and the session's overwrite mode is dynamic.
    """
    setting = "spark.sql.sources.partitionOverwriteMode"
    if mode == "overwrite" and partition_by and (spark.conf.get(setting) or "").lower() == "dynamic":
        raise ConfigurationError(
            f'output.mode: got "overwrite" with {setting} = dynamic, which asks to keep partitions that are not '
            "written; the job replaces the whole table: write each part to a path of its own, or set it to static"
        )


def write_table(rows: DataFrame, path: str, mode: str, partition_by: Sequence[str] = ()) -> None:
    """Write a table as Parquet, complete or not at all. A table can be written over the one it was read from.

    Parameters
    ----------
    rows : DataFrame
    path : str
    mode : str
        ``append`` adds files to the table, which Spark shows once all are written. Any other mode replaces the table:
        call :func:`require_writable` first.
    partition_by : sequence of str
        Columns to partition the files by.
    """
    if mode == "append":
        rows.write.mode("append").partitionBy(*partition_by).parquet(path)
        return
    with publish(rows.sparkSession, path) as staging:
        rows.write.partitionBy(*partition_by).parquet(staging)


def shorten_error(error: Exception | str) -> str:
    """Return the sentence that Spark says, without the query plan or the stack that follows it."""
    lines = [line.strip().rstrip(";") for line in str(error).splitlines() if line.strip()]
    # Spark's sentence begins with its error condition in brackets; py4j or Java may say something before it.
    told = [line[line.index("[") :] for line in lines if re.search(r"(^|: )\[[A-Z_.0-9]+\]", line)]
    return (told or lines or [""])[0]
