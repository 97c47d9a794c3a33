"""Tables that jobs read, and checks of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gmm_spark.errors import DataError
from gmm_spark.jobs.causes.explaining import explain
from gmm_spark.jobs.config.secrets import reveal
from gmm_spark.jobs.config.sections import InputSection
from gmm_spark.spark.names import name_folding, quote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read_table(spark: SparkSession, source: InputSection) -> DataFrame:
    """Return the table that a configuration names, filtered by its condition.

    Raises
    ------
    DataError
        If there is no such path or table, if it has another format, or if the condition does not fit its columns.
    ConfigurationError
        If the condition is not Spark SQL, or the columns are no schema.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import ParseException, PySparkException

    reader = spark.read.options(**reveal(source.options))
    try:
        if source.columns is not None:
            reader = reader.schema(source.columns)
    except ParseException as error:
        raise explain(
            error, f"input.columns: got {source.columns!r}, needs columns and types, 'id bigint, x double': "
        ) from error
    try:
        rows = reader.table(source.table) if source.table else reader.format(source.format).load(source.path)
        rows.columns  # noqa: B018 - over Spark Connect nothing is looked up before it is asked for
    except (PySparkException, Py4JError) as error:
        named = f"input.table: got {source.table!r}" if source.table else f"input.path: got {source.path!r}"
        raise explain(error, f"{named}, which cannot be read as {source.format}: ") from error
    return rows if source.where is None else _filter(rows, source.where)


def _filter(rows: DataFrame, condition: str) -> DataFrame:
    from pyspark.errors import ParseException, PySparkException

    try:
        kept = rows.where(condition)
        kept.schema  # noqa: B018 - over Spark Connect the condition is not analysed before this
    except ParseException as error:
        raise explain(error, f"input.where: got {condition!r}, needs a Spark SQL condition: ") from error
    except PySparkException as error:
        has = ", ".join(rows.columns)
        raise explain(
            error, f"input.where: got {condition!r}, which the table's columns ({has}) do not allow: "
        ) from error
    return kept


def require_columns(rows: DataFrame, key: str, names: Sequence[str]) -> None:
    """Refuse columns that a table does not have, all in one message.

    Raises
    ------
    DataError
        Lists the missing columns and the existing ones.
    """
    there = {fold(rows, name) for name in rows.columns}
    missing = [name for name in names if name != "*" and fold(rows, name) not in there]
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
    return rows.select(*map(quote, (*kept, *appended)))


def fold(rows: DataFrame, name: str) -> str:
    """Return a name in the form in which the session compares names: their case counts only if it is set so."""
    return name_folding(rows.sparkSession)(name)


def drop_replaced(rows: DataFrame, kept: Sequence[str], features: Sequence[str], appended: Sequence[str]) -> DataFrame:
    """Return the rows without the columns that will be appended anew, unless they are to be kept or are features."""
    spared = {fold(rows, name) for name in (*kept, *features)}
    replaced = {fold(rows, name) for name in appended} - spared
    dropped = [] if "*" in kept else [name for name in rows.columns if fold(rows, name) in replaced]
    return rows.drop(*dropped) if dropped else rows
