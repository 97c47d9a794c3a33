"""What tasks bring to the driver: how many bytes one job may bring, and what to say if there is too little memory.

Spark refuses a job whose results exceed ``spark.driver.maxResultSize``, and its JVM holds them before Python does.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, SparkSession

from gmm_spark.errors import ResourceError

MAX_RESULT_SIZE, DRIVER_MEMORY = "spark.driver.maxResultSize", "spark.driver.memory"
WORKER_MEMORY = "spark.executor.pyspark.memory"

_UNITS = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


@lru_cache(maxsize=16)  # an application cannot change these; every pass asks, and each answer is a call to the JVM
def read_size(spark: SparkSession, setting: str, default: str, unit: str = "b") -> int:
    """Read a size among Spark's settings, in bytes; a number without a unit counts ``unit``."""
    found = _parse_size(str(spark.conf.get(setting, default)), unit)
    return _parse_size(default, unit) or 0 if found is None else found


def _parse_size(text: str, unit: str) -> int | None:
    found = re.fullmatch(r"(\d+)\s*([bkmgtp]?)b?", text.strip().lower())
    return int(found[1]) << _UNITS[found[2] or unit] if found else None


def max_result_bytes(spark: SparkSession) -> int | None:
    """Return ``spark.driver.maxResultSize`` in bytes; None if it sets no limit."""
    return read_size(spark, MAX_RESULT_SIZE, "1g") or None


def bytes_per_job(spark: SparkSession) -> int:
    """Return how many bytes one job should bring: half of maxResultSize, and no more than a quarter of the JVM's heap.

    Beside the results themselves, Spark counts what each task reports; and the heap holds results more than once.
    """
    heap = read_size(spark, DRIVER_MEMORY, "1g", unit="m") // 4
    most = max_result_bytes(spark)
    return max(heap if most is None else min(most // 2, heap), 1)


def count_parts(spark: SparkSession, n_bytes: int) -> int:
    """Return how many jobs should bring so many bytes."""
    return max(-(-n_bytes // bytes_per_job(spark)), 1)


def collect(rows: DataFrame) -> list[Row]:
    """Collect rows, and name the setting if a task or the driver had too little memory.

    Raises
    ------
    ResourceError
        If the results exceed ``spark.driver.maxResultSize``, or a task could not get memory.
    """
    try:
        return rows.collect()
    except Exception as error:  # Py4JJavaError, PythonException, or Connect's own
        reason = _explain(str(error), rows.sparkSession) if _is_sparks(error) else None
        if reason is None:
            raise
        raise ResourceError(reason) from error


def _is_sparks(error: Exception) -> bool:
    return isinstance(error, PySparkException) or type(error).__name__ == "Py4JJavaError"


def _explain(message: str, spark: SparkSession) -> str | None:
    """Say what lacked memory, if that is why a job failed."""
    if ours := re.search(r"gmm_spark\.errors\.ResourceError: (.*)", message):
        return ours[1].strip()
    if MAX_RESULT_SIZE in message:
        return (
            f"a job brings more to the driver than {MAX_RESULT_SIZE}={spark.conf.get(MAX_RESULT_SIZE, '1g')} allows; "
            "raise it, or lower sampleRows or k"
        )
    if told := re.search(r"^[\w.]*\b(_Array|Arrow|)MemoryError\b.*$", message, re.MULTILINE):
        return lack_of_memory(f"a task got no more memory ({told[0].strip()[:200]})")
    return None


def lack_of_memory(event: str) -> str:
    """Return what to do about a task that got no memory, after the event."""
    return (
        f"{event}; raise {WORKER_MEMORY} if it is set (each task has its share of it), or run fewer tasks at once on "
        "an executor (spark.executor.cores)"
    )
