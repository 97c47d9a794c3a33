"""Names of tables and directories by OpenLineage's naming rules, so that other tools' lineage meets ours.

A name has two parts: the namespace, which is the store, and the name within it. See
https://openlineage.io/docs/spec/naming.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gmm_spark.jobs.config.secrets import reveal
from gmm_spark.jobs.config.sections import InputSection
from gmm_spark.storage.hadoop import files_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Object stores by the beginning of their schemes, under the scheme that OpenLineage gives them.
_OBJECT_STORES = {"s3": "s3", "gs": "gs", "wasb": "wasbs", "abfs": "abfss"}
# Of these what stands before the @ is a container, not a user.
_WITH_CONTAINERS = ("wasbs", "abfss")
# Databases by the name in a JDBC URL: OpenLineage's name, and the port if the URL has none.
_DATABASES = {
    "postgresql": ("postgres", "5432"),
    "mysql": ("mysql", "3306"),
    "mariadb": ("mysql", "3306"),
    "redshift": ("redshift", "5439"),
    "sqlserver": ("mssql", "1433"),
}
_JDBC = re.compile(r"jdbc:(?P<kind>[\w-]+)://(?:[^/]*@)?(?P<host>[^/:;?]*)(?::(?P<port>\d+))?/?(?P<database>[^?;]*)")


class DatasetName(NamedTuple):
    """Where a dataset is, and what it is called there."""

    namespace: str
    name: str


def name_source(spark: SparkSession, source: InputSection) -> DatasetName:
    """Name the table that a job reads; a catalog table by its location, as other tools do, if it has one."""
    if source.table:
        return name_table(spark, source.table)
    if source.path:
        return name_path(files_of(spark).qualify(source.path))
    options = {key.lower(): value for key, value in reveal(source.options).items()}
    return name_database(options.get("url", ""), options.get("dbtable", "")) or DatasetName(source.format, "unnamed")


def name_table(spark: SparkSession, table: str) -> DatasetName:
    """Name a table of Spark's catalog."""
    for row in spark.sql("DESCRIBE TABLE EXTENDED IDENTIFIER(:name)", args={"name": table}).collect():
        if row["col_name"] == "Location" and row["data_type"]:
            return name_path(row["data_type"])
    return DatasetName("spark", table)


def name_path(uri: str) -> DatasetName:
    """Name a directory or a file by its full URI; a user and a password in it are left out.

    Examples
    --------
    >>> name_path("s3a://key:word@bucket/a/b/")
    DatasetName(namespace='s3://bucket', name='a/b')
    >>> name_path("hdfs://nameservice/tables/t")
    DatasetName(namespace='hdfs://nameservice', name='/tables/t')
    >>> name_path("file:/tmp/t")
    DatasetName(namespace='file', name='/tmp/t')
    """
    found = re.match(r"(?P<scheme>[A-Za-z][\w+.-]*):(?://(?P<authority>[^/]*))?(?P<path>.*)", uri)
    path = (found["path"] if found else uri).rstrip("/") or "/"
    if found is None or found["scheme"].lower() == "file":
        return DatasetName("file", path)
    scheme, authority = found["scheme"].lower(), found["authority"] or ""
    store = next((name for begin, name in _OBJECT_STORES.items() if scheme.startswith(begin)), None)
    user, at, host = authority.rpartition("@")
    kept = f"{user.partition(':')[0]}{at}{host}" if store in _WITH_CONTAINERS else host
    return DatasetName(f"{store or scheme}://{kept}", path.lstrip("/") or "/" if store else path)


def name_database(url: str, table: str) -> DatasetName | None:
    """Name a table of a database by its JDBC URL, without what may be secret in it; None if it is no such URL."""
    found = _JDBC.match(url)
    if found is None:
        return None
    kind, port = _DATABASES.get(found["kind"], (found["kind"], ""))
    place = ":".join(part for part in (found["host"], found["port"] or port) if part)
    # A query in place of a table may repeat anything: only a plain name is shown.
    plain = table.replace('"', "") if re.fullmatch(r'[\w."]+', table) else ""
    return DatasetName(f"{kind}://{place}", ".".join(part for part in (found["database"], plain) if part) or "unnamed")
