"""What tests on Spark share beyond the session itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def block_files(spark: SparkSession) -> Callable[[], list[Path]]:
    """All block files, finished or being written, that lie in the executors' local directories now."""

    def local_directories(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import os

        for _ in stream:
            yield pa.RecordBatch.from_pydict({"found": [os.environ["SPARK_LOCAL_DIRS"]]})

    found = spark.range(1).mapInArrow(local_directories, "found string").first()
    directories = [Path(d) for d in found["found"].split(",")]
    return lambda: sorted(file for d in directories for file in d.rglob("gmm-*"))


@pytest.fixture
def small_batches(spark: SparkSession) -> Iterator[int]:
    """Arrow batches of 7 rows, so that even a small partition comes in several."""
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(name)
    spark.conf.set(name, "7")
    yield 7
    spark.conf.set(name, before)
