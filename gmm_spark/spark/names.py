"""Names of columns and tables: as Spark's parser reads them, and when a session takes two of them for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def quote(name: str) -> str:
    """Return a name for Spark's parser: without quotes, a dot would ask for a field of a struct.

    Examples
    --------
    >>> quote("a.b`c")
    '`a.b``c`'
    """
    return f"`{name.replace('`', '``')}`"


def name_folding(spark: SparkSession) -> Callable[[str], str]:
    """Return the function that makes two names equal if Spark takes them for one: lower case unless case matters."""
    sensitive = str(spark.conf.get("spark.sql.caseSensitive", "false"))
    return str if sensitive.strip().lower() == "true" else str.lower
