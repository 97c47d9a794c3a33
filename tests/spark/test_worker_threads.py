"""Each task uses one BLAS thread: Spark already runs a task on every core."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.packing.passes import collect_sums
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.worker import one_blas_thread

ALLOWED = 4


class ThreadCount:
    """Fold that ignores the rows and counts the BLAS threads that it could use."""

    def __init__(self, allowed: int | None) -> None:
        from threadpoolctl import threadpool_limits

        if allowed is not None:
            threadpool_limits(allowed, "blas")  # as a worker would find it under spark.executorEnv.OMP_NUM_THREADS
        self.most = 0

    def add(self, rows: np.ndarray, sample_weight: np.ndarray | None) -> None:
        from threadpoolctl import threadpool_info

        np.ones((300, 300)) @ np.ones((300, 300))
        pools = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]
        self.most = max([self.most, *pools])

    def vector(self) -> np.ndarray:
        return np.array([1.0, self.most])

    def clear(self) -> None:
        self.most = 0


@dataclass(frozen=True)
class CountThreads:
    allowed: int | None
    plan: ClassVar[Any] = SimpleNamespace(n_products=1)
    length = 2

    def accumulator(self) -> ThreadCount:
        return ThreadCount(self.allowed)

    def read(self, vector: np.ndarray) -> np.ndarray:
        return vector


def blas_threads() -> list[int]:
    from threadpoolctl import threadpool_info

    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_threads_that_overlap_leave_blas_as_the_first_found_it() -> None:
    from threadpoolctl import threadpool_limits

    both_inside, first_left, last_left = threading.Barrier(2), threading.Event(), threading.Event()
    seen: list[list[int]] = []

    def enter_first() -> None:
        with one_blas_thread():
            both_inside.wait(60)
        first_left.set()
        assert last_left.wait(60)  # as a thread of a pool does

    def leave_last() -> None:
        with one_blas_thread():
            both_inside.wait(60)
            assert first_left.wait(60)
            seen.append(blas_threads())
        last_left.set()

    with one_blas_thread():  # loads every BLAS that it limits
        pass
    with threadpool_limits(ALLOWED, "blas"):
        before = blas_threads()
        threads = [threading.Thread(target=target) for target in (enter_first, leave_last)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [set(one) for one in seen] == [{1}]
        assert blas_threads() == before
        assert ALLOWED in before


@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_a_pass_gives_blas_one_thread_whatever_the_worker_was_told(spark, allowed):
    table = spark.range(0, 1000, 1, 3).selectExpr("cast(id as double) as x")
    features = resolve_features(table, "", ["x"], None, None)
    with PackedTable(table, features) as packed:
        tasks, threads = CountThreads(allowed).read(collect_sums(packed.blocks.source, CountThreads(allowed)))
    assert tasks == 3
    assert threads == 3  # one in each
