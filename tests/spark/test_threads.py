"""One BLAS thread a task: Spark runs a task on every core already."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from gmm_spark.core.expectation import StatisticsAccumulator
from gmm_spark.core.parameters import MixtureParameters
from gmm_spark.core.plan import plan_pass


def count_threads(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Run the kernel in a worker, then ask every BLAS in the process how many threads it uses."""
    from threadpoolctl import threadpool_info

    for _ in stream:
        pass
    d = 16
    candidate = MixtureParameters(np.full(8, 1 / 8), np.eye(8, d), np.ones((8, d)), "diag")
    fold = StatisticsAccumulator(plan_pass([candidate], np.zeros(d), np.ones(d)))
    fold.add(np.random.default_rng(0).normal(size=(d, 50_000)), None)
    pools = [p for p in threadpool_info() if p["user_api"] in ("blas", "openmp")]
    yield pa.RecordBatch.from_pydict({"pools": [len(pools)], "threads": [max(p["num_threads"] for p in pools)]})


def test_a_worker_runs_the_kernel_on_one_thread(spark):
    found = spark.range(0, 4, 1, 4).mapInArrow(count_threads, "pools long, threads long").collect()
    assert len(found) == 4
    assert all(row.pools >= 1 for row in found)
    assert {row.threads for row in found} == {1}
