"""The one Spark session that every test shares: starting a JVM costs seconds, a fixture costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Python workers, and the jobs that tests start as processes, run `python3` from PATH unless told otherwise:
# an interpreter that may lack pyarrow.
os.environ["PYSPARK_PYTHON"] = sys.executable


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Two local cores: the least that runs two tasks at once, and what CI machines have."""
    from pyspark.sql import SparkSession

    scratch = tmp_path_factory.mktemp("spark")
    session = (
        SparkSession.builder.master("local[2]")
        .appName("gmm-spark tests")
        # Loopback only: the machine's host name need not resolve, and nothing listens outside.
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        # No web page to look at; it costs a port and a second.
        .config("spark.ui.enabled", "false")
        # The default of 200 shuffle partitions is 200 tasks for a table of a hundred rows.
        .config("spark.sql.shuffle.partitions", "3")
        # The tests' tables are small: leave their partitions as the test made them.
        .config("spark.sql.adaptive.enabled", "false")
        # createDataFrame and toPandas by Arrow: the row-at-a-time path dominates the tests' time otherwise.
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        # Enough for every table here, little enough for two sessions on one CI machine.
        .config("spark.driver.memory", "2g")
        # Nothing is left in the working directory.
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.local.dir", str(scratch / "local"))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")  # the failures that tests provoke would fill the screen
    yield session
    session.stop()


@pytest.fixture(scope="session")
def block_files(spark: SparkSession) -> Callable[[], list[Path]]:
    """All block files, finished or being written, that lie in the executors' local directories now."""

    def local_directories(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import os

        for _ in stream:
            yield pa.RecordBatch.from_pydict({"found": [os.environ["SPARK_LOCAL_DIRS"]]})

    found = spark.range(1).mapInArrow(local_directories, "found string").first()
    assert found is not None
    directories = [Path(d) for d in found["found"].split(",")]
    return lambda: sorted(file for d in directories for file in d.rglob("gmm-*"))


@pytest.fixture
def small_batches(spark: SparkSession) -> Iterator[int]:
    """Arrow batches of 7 rows, so that even a small partition comes in several."""
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(name)
    assert before is not None
    spark.conf.set(name, "7")
    yield 7
    spark.conf.set(name, before)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as `pip install .` leaves it, in a folder for PYTHONPATH; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    root = Path(__file__).parents[1]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder / "wheel"), str(root)], check=True)
    (wheel,) = (folder / "wheel").glob("gmm_spark-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"
