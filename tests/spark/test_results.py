"""What one job may bring to the driver, and what is said if a job lacks memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from gmm_spark.errors import ResourceError
from gmm_spark.spark.memory import available_bytes, task_bytes
from gmm_spark.spark.results import bytes_per_job, collect, max_result_bytes


class Session:
    """Stand-in for a session that has some settings."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings

    @property
    def conf(self) -> Session:
        return self

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._settings.get(name, default)


def session(**settings: str) -> Any:
    return Session({f"spark.{name.replace('_', '.')}": value for name, value in settings.items()})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("16m", 16 << 20), ("2G", 2 << 30), ("512 kb", 512 << 10), ("1048576", 1 << 20), ("3tb", 3 << 40), ("0", None)],
)
def test_sizes_are_read_as_spark_reads_them(text: str, expected: int | None) -> None:
    assert max_result_bytes(session(driver_maxResultSize=text)) == expected


def test_without_a_setting_or_with_one_that_cannot_be_read_sparks_default_holds() -> None:
    assert max_result_bytes(session()) == max_result_bytes(session(driver_maxResultSize="${later}")) == 1 << 30


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1 << 28),  # a quarter of 1 GiB of heap
        ({"driver_memory": "8g"}, 1 << 29),  # half of 1 GiB of results
        ({"driver_memory": "4096", "driver_maxResultSize": "0"}, 1 << 30),  # mebibytes
        ({"driver_maxResultSize": "16m"}, 8 << 20),
    ],
)
def test_a_job_brings_no_more_than_half_the_limit_and_a_quarter_of_the_heap(
    settings: dict[str, str], expected: int
) -> None:
    assert bytes_per_job(session(**settings)) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"executor_pyspark_memory": "1g"}, 1 << 30),
        ({"executor_pyspark_memory": "1024", "executor_cores": "4"}, 1 << 28),
    ],
)
def test_a_tasks_memory_is_its_share_of_the_workers(settings: dict[str, str], expected: int | None) -> None:
    assert task_bytes(session(**settings)) == expected


def test_the_drivers_memory_is_between_a_megabyte_and_an_exabyte() -> None:
    found = available_bytes()
    assert found is None or 1 << 20 < found < 1 << 60


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (MemoryError("Unable to allocate 3 GiB"), r"Unable to allocate 3 GiB.*spark\.executor\.pyspark\.memory"),
        (pa.lib.ArrowMemoryError("malloc of size 7 failed"), r"malloc of size 7.*spark\.executor\.pyspark\.memory"),
        (ResourceError("the disk of host 3 is full"), "^the disk of host 3 is full$"),
    ],
)
def test_a_task_that_lacks_memory_ends_in_an_error_that_names_the_setting(
    spark: SparkSession, raised: Exception, told: str
) -> None:
    def fail(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        raise raised

    numbers = spark.range(1)
    with pytest.raises(ResourceError, match=told):
        collect(numbers.mapInArrow(fail, numbers.schema))


def test_another_error_of_a_task_stays_what_it_is(spark: SparkSession) -> None:
    def fail(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        raise ValueError("no memory of it")

    numbers = spark.range(1)
    with pytest.raises(Exception, match="no memory of it") as found:
        collect(numbers.mapInArrow(fail, numbers.schema))
    assert not isinstance(found.value, ResourceError)
