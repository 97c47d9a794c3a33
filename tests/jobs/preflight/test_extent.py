"""The size of an input before it is read: counted from footers, or estimated from the footer of one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from gmm_spark.jobs.config.sections import InputSection
from gmm_spark.jobs.preflight.extent import estimate_rows, measure

ROWS = 4_000


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of four days with as many rows each."""
    path = tmp_path_factory.mktemp("days") / "t"
    for day in range(4):
        (path / f"day={day}").mkdir(parents=True)
        values = np.random.default_rng(day).normal(size=ROWS // 4)
        pq.write_table(pa.table({"x": values}), path / f"day={day}" / "part.parquet")
    return path


def test_rows_are_estimated_from_one_footer_and_the_partitions_that_are_read(spark: SparkSession, days: Path) -> None:
    rows = spark.read.parquet(str(days))
    assert estimate_rows(spark, rows) == pytest.approx(ROWS, rel=0.01)
    assert estimate_rows(spark, rows.where("day = 2")) == pytest.approx(ROWS // 4, rel=0.01)


def test_what_is_no_single_parquet_table_is_not_estimated(spark: SparkSession, days: Path, tmp_path: Path) -> None:
    rows = spark.read.parquet(str(days))
    rows.limit(10).write.csv(str(tmp_path / "t"))
    assert estimate_rows(spark, spark.read.csv(str(tmp_path / "t"))) is None
    assert estimate_rows(spark, rows.union(rows)) is None
    assert estimate_rows(spark, spark.range(10)) is None


def test_a_dry_run_counts_the_rows_of_all_files(spark: SparkSession, days: Path) -> None:
    source = InputSection(path=str(days), where="x > 0")
    extent = measure(spark, source, spark.read.parquet(str(days)).where("x > 0"))
    size = sum(path.stat().st_size for path in days.rglob("*.parquet"))
    assert (extent.files, extent.bytes, extent.rows, extent.exact) == (4, size, ROWS, True)
    assert extent.partitions is not None
    assert 1 <= extent.partitions <= 4
