"""Tasks on a sample of a table: the sample is broadcast, and each task runs as one Spark task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from gmm_spark.core.table import Sample, SampleTask
from gmm_spark.spark.results import collect
from gmm_spark.spark.schema import Schema
from gmm_spark.spark.worker import one_blas_thread

# Bytes of a sample's rows up to which it is sent to all tasks. Spark refuses messages of 128 MiB by default, and each
# task holds several copies.
SPREAD_BYTES = 32 << 20

ANSWERS = Schema(id=pa.int64(), answer=pa.binary())


@dataclass(frozen=True)
class RunTasks:
    """Spark task that receives numbers and the sample, and runs the sample tasks of those numbers."""

    tasks: Sequence[SampleTask]
    width: int

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Return one answer for each number."""
        for batch in stream:
            for number, rows, weight in zip(*(batch.column(c) for c in ("id", "rows", "weight")), strict=True):
                sample = (
                    np.frombuffer(rows.as_buffer()).reshape(self.width, -1),
                    np.frombuffer(weight.as_buffer()) if weight.is_valid else None,
                )
                with one_blas_thread():
                    answer = self.tasks[number.as_py()](sample)
                yield ANSWERS.row(id=number.as_py(), answer=answer)


def run_on_sample(spark: SparkSession, sample: Sample, tasks: Sequence[SampleTask]) -> list[bytes]:
    """Run functions of a sample, each as one Spark task.

    Parameters
    ----------
    spark : SparkSession
    sample : rows (d, m) and weights (m,) or None
    tasks : sequence of callable
        From the sample to bytes.

    Returns
    -------
    list of bytes
        In the order of the tasks.
    """
    rows, weight = sample
    packed = pa.table(
        {
            "rows": pa.array([np.ascontiguousarray(rows, np.float64).tobytes()], pa.large_binary()),
            "weight": pa.array([None if weight is None else weight.tobytes()], pa.large_binary()),
        }
    )
    numbers = spark.range(0, len(tasks), 1, len(tasks))
    each = numbers.crossJoin(F.broadcast(spark.createDataFrame(packed)))
    answers = collect(each.mapInArrow(RunTasks(tasks, len(rows)), ANSWERS.spark))
    found = {row["id"]: bytes(row["answer"]) for row in answers}
    return [found[i] for i in range(len(tasks))]
