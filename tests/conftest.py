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

from tests.connect_server import connect_server

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Python workers, and the jobs that tests start as processes, run `python3` from PATH unless told otherwise:
# an interpreter that may lack pyarrow.
os.environ["PYSPARK_PYTHON"] = sys.executable
# A JVM of the tests lives for minutes: half of its time would go into compiling, for speed that it never has. The
# quick compiler alone, and a collector without threads, take a quarter off the tests' time.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


# Of every session here, with the reason for each.
SETTINGS = {
    # The default of 200 shuffle partitions is 200 tasks for a table of a hundred rows.
    "spark.sql.shuffle.partitions": "3",
    # The tests' tables are small: leave their partitions as the test made them.
    "spark.sql.adaptive.enabled": "false",
    # createDataFrame and toPandas by Arrow: the row-at-a-time path dominates the tests' time otherwise.
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Loopback only: the machine's host name need not resolve, and nothing listens outside.
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # No web page to look at; it costs a port and a second.
    "spark.ui.enabled": "false",
    # Enough for every table here, little enough for two sessions on one CI machine.
    "spark.driver.memory": "2g",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--connect",
        metavar="PYTHON",
        help="run over Spark Connect: the Spark of this Python is the server, started once for the run",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip over Spark Connect, with its reason, what needs a session with a JVM of its own."""
    if config.getoption("--connect"):
        for item in items:
            if (mark := item.get_closest_marker("classic")) is not None:
                item.add_marker(pytest.mark.skip(reason=f"not over Spark Connect: {mark.args[0]}"))


@pytest.fixture(scope="session")
def spark(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Two local cores: the least that runs two tasks at once, and what CI machines have."""
    from pyspark.sql import SparkSession

    scratch = tmp_path_factory.mktemp("spark")
    # Nothing is left in the working directory.
    settings = SETTINGS | {
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch / "local"),
    }
    if python := pytestconfig.getoption("--connect"):
        with connect_server(Path(python), settings, scratch) as url:
            session = SparkSession.builder.remote(url).getOrCreate()
            yield session
            session.stop()
        return
    builder = SparkSession.builder.master("local[2]").appName("gmm-spark tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
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
