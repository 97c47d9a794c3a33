"""How large the input is: files, bytes, partitions and rows, as far as that is known without reading it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.jobs.config.secrets import reveal
from gmm_spark.jobs.config.sections import InputSection
from gmm_spark.jobs.io.fingerprints import take_fingerprint
from gmm_spark.jobs.preflight.plan import Plan
from gmm_spark.storage.hadoop import is_remote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Formats whose files say how many rows they have.
_COUNTED = ("parquet", "orc")


@dataclass(frozen=True)
class Extent:
    """What is known of an input before it is read; None if something is not.

    Attributes
    ----------
    files, bytes : int or None
        Of the files below ``input.path``.
    partitions : int or None
        In which Spark will read it.
    rows : int or None
        In the files; fewer may meet ``input.where``.
    exact : bool
        Whether the rows were counted; otherwise they are an estimate of those that will be read.
    """

    files: int | None
    bytes: int | None
    partitions: int | None
    rows: int | None
    exact: bool


def measure(spark: SparkSession, source: InputSection, rows: DataFrame) -> Extent:
    """Measure an input by small jobs, which list files and read their footers."""
    listed = take_fingerprint(spark, source, rows)["files"] or {}
    partitions = None if is_remote(spark) else rows._jdf.queryExecution().toRdd().getNumPartitions()
    exact = source.path is not None and source.format.lower() in _COUNTED
    found: int | None
    if exact:
        found = spark.read.options(**reveal(source.options)).format(source.format).load(source.path).count()
    else:
        found = estimate_rows(spark, rows)
    return Extent(listed.get("count"), listed.get("bytes"), partitions, found, exact)


def plan_extent(plan: Plan, source: InputSection, extent: Extent) -> None:
    """Add to a plan which table is read, and how large it is."""
    plan.add("input", source.table or (f"{source.path} ({source.format})" if source.path else source.format))
    known = (("files", extent.files), ("bytes", extent.bytes), ("partitions", extent.partitions))
    if told := ", ".join(f"{name}: {number:,}" for name, number in known if number is not None):
        plan.add("input", told)
    if extent.rows is None:
        plan.add("input", "rows: not known before they are read")
    else:
        plan.add("input", f"rows: {'' if extent.exact else 'about '}{extent.rows:,}")
    if source.where is not None:
        plan.add("input", f"of which those are read that meet: {source.where}")


def estimate_rows(spark: SparkSession, rows: DataFrame) -> int | None:
    """Estimate the rows of Parquet files in the partitions that Spark will read; None if they cannot be.

    They are the bytes of the files by Spark's plan, and the rows for each byte of one of them by its footer. Nothing
    is listed anew, and no job is run.
    """
    from py4j.protocol import Py4JError

    if is_remote(spark):
        return None
    with suppress(Py4JError, IndexError):
        leaves = rows._jdf.queryExecution().sparkPlan().collectLeaves()
        if leaves.size() != 1:
            return None
        read = leaves.head().selectedPartitions().totalFileSize()  # fails if it is no scan of files
        length, count = _read_footer(spark, rows._jdf.inputFiles()[0])
        return int(read) * count // length
    return None


def _read_footer(spark: SparkSession, path: str) -> tuple[int, int]:
    """Return the bytes and the rows of a Parquet file, of any file system that Spark knows."""
    context = spark.sparkContext
    jvm, configuration = context._jvm, context._jsc.hadoopConfiguration()
    assert jvm is not None  # a classic session has one
    parquet = jvm.org.apache.parquet.hadoop
    file = parquet.util.HadoopInputFile.fromPath(jvm.org.apache.hadoop.fs.Path(path), configuration)
    reader = parquet.ParquetFileReader.open(file)
    try:
        return int(file.getLength()), int(reader.getRecordCount())
    finally:
        reader.close()
