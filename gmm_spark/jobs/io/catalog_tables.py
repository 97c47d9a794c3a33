"""Tables of Spark's catalogs: whether there is one of a name, where its files lie, and who writes them.

A Parquet table of Spark's own catalog is a directory, which jobs write as any other: see :mod:`.table_output`. A table
of another catalog, or of a format such as Delta or Iceberg, commits by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gmm_spark.errors import ConfigurationError
from gmm_spark.jobs.causes.explaining import explain
from gmm_spark.jobs.config.sections import FILE_FORMATS, InputSection
from gmm_spark.spark.names import quote
from gmm_spark.storage.hadoop import files_of, is_remote

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OWN_CATALOG = "spark_catalog"
# Formats of tables whose old files would be lost before the new ones are complete.
_REFUSED = (FILE_FORMATS | {"hive", "jdbc"}) - {"parquet", "delta"}
_PART = re.compile(r"`(?:[^`]|``)+`|[^.`]+")


@dataclass(frozen=True)
class CatalogTable:
    """A table that is in a catalog.

    Attributes
    ----------
    name : tuple of str
        Catalog, namespaces and table.
    location : str or None
        Directory of a Parquet table of Spark's own catalog; None if the table commits by itself.
    partition_by : tuple of str or None
        Columns that it is partitioned by, None if that is not known.
    tracked : bool
        Whether the catalog lists its partitions, so that new ones must be told to it.
    """

    name: tuple[str, ...]
    location: str | None = None
    partition_by: tuple[str, ...] | None = None
    tracked: bool = False


def find_table(spark: SparkSession, key: str, name: str) -> CatalogTable | None:
    """Return what a catalog knows of a table, None if there is none of that name.

    Raises
    ------
    ConfigurationError
        If the name is no table's: of a view, say, or of a schema that does not exist.
    """
    from pyspark.errors import AnalysisException

    try:
        if not spark.catalog.tableExists(name):
            _require_schema(spark, key, name)
            return None
        about = spark.catalog.getTable(name)
    except AnalysisException as error:
        raise ConfigurationError(
            f"{key}: got {name!r}, needs the name of a table, such as schema.table: {explain(error)}"
        ) from error
    if about.isTemporary or about.tableType == "VIEW":
        raise ConfigurationError(f"{key}: got {name!r}, which is a view; name a table")
    full = (about.catalog or OWN_CATALOG, *(about.namespace or ()), about.name)
    if full[0] != OWN_CATALOG or is_remote(spark):
        return CatalogTable(full)
    return _look_into_own_catalog(spark, key, name, full)


def is_in_own_catalog(spark: SparkSession, name: str) -> bool:
    """Return whether a new table of a name would be in Spark's own catalog."""
    parts = split_name(name)
    if len(parts) > 1 and (parts[0] == OWN_CATALOG or spark.conf.get(f"spark.sql.catalog.{parts[0]}", None)):
        return parts[0] == OWN_CATALOG
    return bool(spark.catalog.currentCatalog() == OWN_CATALOG)


def locate_input(spark: SparkSession, source: InputSection | None) -> tuple[str | None, CatalogTable | None]:
    """Return the path of a job's input, as far as it has one, and its table in a catalog."""
    if source is None or source.table is None:
        return (None if source is None else source.path), None
    try:
        table = find_table(spark, "input.table", source.table)
    except ConfigurationError:  # a view, which may read anything; or no table: whoever reads it says so
        return None, None
    return (None if table is None else table.location), table


def split_name(name: str) -> list[str]:
    """Return the parts of a table's name, without backquotes."""
    return [part.strip("`").replace("``", "`") for part in _PART.findall(name)]


def _require_schema(spark: SparkSession, key: str, name: str) -> None:
    """Refuse a table that could not be created."""
    schema = [quote(part) for part in split_name(name)[:-1]]
    if schema and not spark.catalog.databaseExists(".".join(schema)):
        raise ConfigurationError(
            f"{key}: got {name!r}, but there is no schema {'.'.join(schema)}; create it, or name another"
        )


def _look_into_own_catalog(spark: SparkSession, key: str, name: str, full: tuple[str, ...]) -> CatalogTable:
    state: Any = spark._jsparkSession.sessionState()
    metadata = state.catalog().getTableMetadata(state.sqlParser().parseTableIdentifier(".".join(map(quote, full[1:]))))
    provider = metadata.provider().get().lower() if metadata.provider().isDefined() else "hive"
    columns = _read(metadata.partitionColumnNames())
    if provider in _REFUSED:
        raise ConfigurationError(
            f"{key}: got {name!r}, a table in {provider}; jobs write Parquet tables (CREATE TABLE ... USING parquet) "
            "and tables that commit by themselves, as those of Delta and Iceberg"
        )
    if provider != "parquet":
        return CatalogTable(full, partition_by=tuple(columns))
    if metadata.bucketSpec().isDefined():
        raise ConfigurationError(f"{key}: got {name!r}, which has buckets; name a table without")
    files = files_of(spark)
    location = files.qualify(metadata.location().toString()).rstrip("/")
    tracked = bool(metadata.tracksPartitionsInCatalog())
    if tracked:
        every = state.catalog().listPartitions(metadata.identifier(), spark._jvm.scala.Option.empty())  # type: ignore[union-attr]
        places = (every.apply(number).location().toString() for number in range(every.size()))
        if strange := [one for one in places if not files.qualify(one).startswith(f"{location}/")]:
            raise ConfigurationError(
                f"{key}: got {name!r}, which has a partition outside its directory ({strange[0]}); name another table"
            )
    return CatalogTable(full, location, tuple(columns), tracked)


def _read(names: Any) -> list[str]:
    return [str(names.apply(number)) for number in range(names.size())]
