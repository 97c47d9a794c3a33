"""Fits of one table while executors, a Worker, tasks or the table itself fail; print the outcomes as JSON.

``test_standalone.py`` submits this to its cluster. One application does all: starting one takes longer than a fit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

from gmm_spark import GaussianMixture, MixtureParameters
from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.spark.packing import passes, recovery
from gmm_spark.spark.packing.cluster import survey_cluster
from gmm_spark.spark.packing.pieces import Piece

COLUMNS = ["x0", "x1", "x2"]
START = MixtureParameters(
    [0.3, 0.3, 0.4], [[-1.0, 0.0, 0.0], [2.0, 3.0, 2.0], [7.0, 5.0, 6.0]], [[2.0] * 3] * 3, "diag"
)


def list_executors(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Task that returns the process ids of its executor, and of the Worker above it."""
    for _ in stream:
        pass
    yield pa.RecordBatch.from_pydict({"pid": [parent(os.getppid())]})


def parent(pid: int) -> int:
    """Return the process above another."""
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[1])


class Faults:
    """Fits of a table, each with a fault of its own.

    Parameters
    ----------
    spark : SparkSession
    path : Path
        Of the table.
    """

    def __init__(self, spark: SparkSession, path: Path) -> None:
        self.spark, self.path = spark, path
        self.killed = 0

    def quiet(self) -> dict[str, Any]:
        """Nothing fails."""
        return self.fit(self.table())

    def two_executors_die(self) -> dict[str, Any]:
        """An executor is killed after the second pass, and another after the fourth."""
        return self.fit(self.table(), {2: self.kill_executor, 4: self.kill_executor})

    def hosts_of_one_name(self) -> dict[str, Any]:
        """Two hosts pass for one, so that tasks look for files which another host has."""
        with patch.object(recovery, "survey_cluster", lambda spark: replace(survey_cluster(spark), hosts=1)):
            return self.fit(self.table())

    def tasks_raise_at_first(self) -> dict[str, Any]:
        """Some tasks that read the table, and some of each pass, raise once."""

        def raise_half_way(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in stream:
                yield batch
                raise_at_first()

        class RaisingFold(passes.FoldPieces):
            def __call__(self, pieces: Iterator[Piece]) -> Iterator[pa.RecordBatch]:
                for batch in super().__call__(pieces):
                    yield batch
                    raise_at_first()

        with patch.object(passes, "FoldPieces", RaisingFold):
            table = self.table()
            return self.fit(table.mapInArrow(raise_half_way, table.schema))

    def the_table_changes(self) -> dict[str, Any]:
        """An executor is killed, and the rows that it had read are others when they are read again."""
        changed = self.path.with_name("changed")
        shutil.copytree(self.path, changed)

        def kill_and_change() -> None:
            for file in changed.glob("*.parquet"):
                columns = pq.read_table(file)
                pq.write_table(columns.set_column(0, "x0", pa.array(columns["x0"].to_numpy() + 0.5)), file)
            self.kill_executor()

        return self.fit(self.spark.read.parquet(str(changed)), {2: kill_and_change})

    def a_worker_dies(self) -> dict[str, Any]:
        """A Worker is killed after the second pass, with all that runs on its host."""
        return self.fit(self.table(), {2: lambda: self.kill(parent(self.executors()[0]))})

    def table(self) -> DataFrame:
        """Read the table."""
        return self.spark.read.parquet(str(self.path))

    def fit(self, table: DataFrame, after: dict[int, Callable[[], None]] | None = None) -> dict[str, Any]:
        """Fit, call back after some passes, and return what came out."""
        self.killed = 0

        def call_back(record: PassRecord) -> None:
            (after or {}).get(record.iteration, lambda: None)()

        # The driver would hold a table of no more rows than the sample, and then no pass could miss its blocks.
        estimator = GaussianMixture(inputCols=COLUMNS, maxIter=5, tol=0.0, accelerate=False, sampleRows=10_000)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                model = estimator.setInitialModel(START).setCallback(call_back).fit(table)
            except Exception as error:
                return {"killed": self.killed, "error": type(error).__name__, "message": str(error)}
        return {
            "killed": self.killed,
            "passes": model.summary.numIter,
            "rows": model.summary.numRows,
            "log_likelihood": model.summary.logLikelihood,
            "means": np.asarray(model.means).tolist(),
            "misses": model.summary.packing.misses,
            "warnings": [str(one.message) for one in caught if issubclass(one.category, RuntimeWarning)],
        }

    def executors(self) -> list[int]:
        """List the executors' process ids."""
        found = self.spark.range(0, 8, 1, 8).mapInArrow(list_executors, "pid long").collect()
        return sorted({row.pid for row in found})

    def kill_executor(self) -> None:
        """Kill an executor."""
        self.kill(self.executors()[0])

    def kill(self, pid: int) -> None:
        """Kill a process, and those below it."""
        listed = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        for one in [pid, *(child for child in listed if below(child, pid))]:
            os.kill(one, signal.SIGKILL)
        self.killed += 1


def below(pid: int, ancestor: int) -> bool:
    """Tell whether a process descends from another."""
    try:
        while pid > 1:
            pid = parent(pid)
            if pid == ancestor:
                return True
    except OSError:
        return False
    return False


def raise_at_first() -> None:
    """Raise in the first attempt of some tasks: each costs a Python worker, which takes long to start."""
    context = TaskContext.get()
    assert context is not None
    if context.attemptNumber() == 0 and context.partitionId() % 16 == 3:
        raise RuntimeError("the first attempt fails")


def main(table: str, faults: list[str]) -> None:
    """Fit once for each fault."""
    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    while survey_cluster(spark).hosts < 2:  # executors come one by one
        time.sleep(0.5)
    having = Faults(spark, Path(table))
    outcomes = {}
    for name in faults:
        began = time.monotonic()
        outcomes[name] = getattr(having, name)()
        outcomes[name]["seconds"] = time.monotonic() - began  # for people who wonder where a minute went
    print(json.dumps(outcomes))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
