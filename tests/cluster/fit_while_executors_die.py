"""Fit on a cluster of two executor processes, killing one after each named pass; print the outcome as JSON.

``test_lost_executor.py`` runs this as a program: a session of another kind cannot share the tests' process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict

import pyarrow as pa
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture, MixtureParameters
from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.jobs.run.executors import describe_application


def report_executor(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the process id of the JVM above this worker's daemon."""
    for _ in stream:
        pass
    daemon = os.getppid()
    with open(f"/proc/{daemon}/stat") as stat:
        executor = int(stat.read().rsplit(")", 1)[1].split()[1])
    yield pa.RecordBatch.from_pydict({"pid": [executor]})


def main(table: str, kills: list[int]) -> None:
    """Fit, kill, print."""
    spark = (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.executor.memory", "1g")
        .config("spark.sql.files.maxPartitionBytes", "128k")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    killed = []

    def kill_one(record: PassRecord) -> None:
        if record.iteration in kills:
            pids = {r.pid for r in spark.range(0, 8, 1, 8).mapInArrow(report_executor, "pid long").collect()}
            victim = min(pids)
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    start = MixtureParameters(
        [0.3, 0.3, 0.4], [[-1.0, 0.0, 0.0], [2.0, 3.0, 2.0], [7.0, 5.0, 6.0]], [[2.0] * 3] * 3, "diag"
    )
    estimator = GaussianMixture(inputCols=["x0", "x1", "x2"], maxIter=9, tol=0.0, accelerate=False)
    estimator.setInitialModel(start).setCallback(kill_one)
    model = estimator.fit(spark.read.parquet(table))
    summary = model.summary
    print(
        json.dumps(
            {
                "killed": len(killed),
                "passes": summary.numIter,
                "rows": summary.numRows,
                "log_likelihood": summary.logLikelihood,
                "means": model.means.tolist(),
                "executors": describe_application(spark),
                "packing": asdict(summary.packing),
            }
        )
    )
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], [int(k) for k in sys.argv[2].split(",") if k])
