"""A job that fails, and reports on stdout whether its session was still running when it wrote its last line.

``python fail.py refuse`` raises an error of ours, ``worker`` raises one in a task, ``analysis`` makes Spark raise one,
and ``kill`` loses the JVM during a call.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from gmm_spark.errors import DataError
from gmm_spark.jobs.config.jobs import SampleConfiguration
from gmm_spark.jobs.run.running import run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def refuse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Refuse rows."""
    raise DataError("refused in a task")


def fail(spark: SparkSession, configuration: SampleConfiguration) -> None:
    """Use Spark a little, then fail."""
    spark.range(2).collect()
    if sys.argv[1] == "refuse":
        raise DataError("refused")
    if sys.argv[1] == "worker":
        spark.range(2).mapInArrow(refuse, "id long").collect()
    if sys.argv[1] == "analysis":
        spark.range(2).select("nothing")
    gateway = spark.sparkContext._gateway
    assert gateway is not None
    jvm = gateway.proc.pid
    os.kill(jvm, signal.SIGSTOP)  # the next call is sent and never read: its connection is reset, not closed
    subprocess.Popen(["sh", "-c", f"sleep 1; kill -KILL {jvm}"])
    spark.range(1).count()


class Listening:
    """Stderr that notes whether a session is running when the last line is written."""

    def write(self, text: str) -> int:
        """Write a text."""
        if "ended with exit code" in text:
            from pyspark import SparkContext

            print("running:", SparkContext._active_spark_context is not None)
        return sys.__stderr__.write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        sys.__stderr__.flush()


if __name__ == "__main__":
    sys.stderr = Listening()
    run(fail, SampleConfiguration, ["--model", "none", "--n", "1", "--output.path", "none"])
