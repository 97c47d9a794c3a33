"""A job that fails, and tells on stdout what of Spark was still there when it said its last words.

``python fail.py refuse`` raises an error of ours, ``worker`` one in a task, ``analysis`` has Spark raise one of its
own, and ``kill`` loses its JVM in the middle of a call.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from gmm_spark.errors import DataError
from gmm_spark.jobs.config.sections import SampleConfiguration
from gmm_spark.jobs.run.running import run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

jvm = 0


def same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pass rows on: a task that makes the JVM connect to pyspark's server of accumulators."""
    yield from batches


def refuse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Refuse rows."""
    raise DataError("refused in a task")


def fail(spark: SparkSession, configuration: SampleConfiguration) -> None:
    """Use Spark a little, then fail."""
    global jvm
    gateway = spark.sparkContext._gateway
    assert gateway is not None
    jvm = gateway.proc.pid
    spark.range(2).mapInArrow(same, "id long").collect()
    if sys.argv[1] == "refuse":
        raise DataError("refused")
    if sys.argv[1] == "worker":
        spark.range(2).mapInArrow(refuse, "id long").collect()
    if sys.argv[1] == "analysis":
        spark.range(2).select("nothing")
    os.kill(jvm, signal.SIGSTOP)  # the next call is sent, and never read: its connection is reset, not closed
    subprocess.Popen(["sh", "-c", f"sleep 1; kill -KILL {jvm}"])
    spark.range(1).count()


class Listening:
    """Stderr that notes what is alive when the last line is written."""

    def write(self, text: str) -> int:
        """Write it, and listen."""
        if "ended with exit code" in text:
            # Not os.kill(jvm, 0), which a process that has ended but was not waited for survives.
            states = subprocess.run(["ps", "-o", "stat=", "-p", str(jvm)], capture_output=True, text=True, check=False)
            left = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
            print("left:", left, "JVM:", states.stdout.strip()[:1])
        return sys.__stderr__.write(text)

    def flush(self) -> None:
        """Write what is held back."""
        sys.__stderr__.flush()


if __name__ == "__main__":
    sys.stderr = Listening()
    run(fail, SampleConfiguration, ["--model", "none", "--n", "1", "--output.path", "none"])
