"""A fingerprint of the table that a job reads: whether it was the same table can be told later."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gmm_spark.jobs.config.secrets import redact, reveal
from gmm_spark.jobs.config.sections import FILE_FORMATS, InputSection

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def take_fingerprint(spark: SparkSession, source: InputSection, rows: DataFrame) -> dict[str, Any]:
    """Return what tells a table from an earlier or later state of it; no row is read.

    Parameters
    ----------
    spark : SparkSession
    source : InputSection
    rows : DataFrame
        The table, as it was read.

    Returns
    -------
    dict
        Name of the source, checksum of the schema, and of a path with files their number, bytes and the checksum of
        their names, sizes and times. Of a catalog table or a database nothing is known of its contents.
    """
    from pyspark.errors import AnalysisException

    found: dict[str, Any] = {
        "source": source.table or redact(source.path or source.format, ()),
        "schema": hashlib.sha256(rows.schema.json().encode()).hexdigest(),
        "files": None,
    }
    if source.path and source.format.lower() in FILE_FORMATS:
        with suppress(AnalysisException):  # as for a Delta table, which is more than its files
            found["files"] = _describe_files(spark, source)
    return found


def _describe_files(spark: SparkSession, source: InputSection) -> dict[str, Any]:
    """Return number, bytes, latest time and a checksum of the files of a path. Spark lists them and reads none."""
    from pyspark.sql import functions as F

    reader = spark.read.options(**reveal(source.options)).option("recursiveFileLookup", True)
    listed = reader.format("binaryFile").load(source.path).select("path", "length", "modificationTime")
    # One checksum for each file, combined by XOR: the order of the files does not matter.
    checksum = F.bit_xor(F.xxhash64("path", "length", "modificationTime"))
    row = listed.agg(
        F.count("path").alias("count"),
        F.sum("length").alias("bytes"),
        F.max("modificationTime").cast("string").alias("latest"),
        F.hex(checksum).alias("checksum"),
    ).first()
    assert row is not None  # an aggregate has one row
    return row.asDict()
