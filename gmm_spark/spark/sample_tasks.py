"""Work on a sample of a table, which every core can do by itself: one task each, the sample broadcast to all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, LongType, StructType

from gmm_spark.core.table import Sample, SampleTask
from gmm_spark.spark.worker import one_blas_thread

# Bytes of a sample's rows up to which it is sent to all tasks. Spark refuses messages of 128 MiB by default, and each
# task holds several copies.
SPREAD_BYTES = 32 << 20
_ANSWERS = pa.schema([("id", pa.int64()), ("answer", pa.binary())])
_ANSWER_SCHEMA = StructType().add("id", LongType()).add("answer", BinaryType())


@dataclass(frozen=True)
class Apart:
    """Task that does the pieces of work whose numbers it is sent, each with the sample."""

    tasks: Sequence[SampleTask]
    width: int

    def __call__(self, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Answer each number."""
        for batch in stream:
            for number, rows, weight in zip(*(batch.column(c) for c in ("id", "rows", "weight")), strict=True):
                sample = (
                    np.frombuffer(rows.as_buffer()).reshape(self.width, -1),
                    np.frombuffer(weight.as_buffer()) if weight.is_valid else None,
                )
                with one_blas_thread():
                    answer = self.tasks[number.as_py()](sample)
                yield pa.RecordBatch.from_pylist([{"id": number.as_py(), "answer": answer}], _ANSWERS)


def run_on_sample(spark: SparkSession, sample: Sample, tasks: Sequence[SampleTask]) -> list[bytes]:
    """Run functions of a sample, one Spark task each, in their order as far as there are cores.

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
    answers = each.mapInArrow(Apart(tasks, len(rows)), _ANSWER_SCHEMA).collect()
    found = {row["id"]: bytes(row["answer"]) for row in answers}
    return [found[i] for i in range(len(tasks))]
