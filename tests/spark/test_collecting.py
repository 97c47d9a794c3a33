"""Workers keep what they loaded out of the collections that pyspark makes after every task."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import numpy as np

from gmm_spark.spark.collecting import spare_what_is_loaded
from gmm_spark.spark.features import resolve_features
from gmm_spark.spark.packed import PackedTable
from gmm_spark.spark.passes import added_up


class FrozenCount:
    """Fold that forgets the rows and tells whether its worker collects less than it holds."""

    def add(self, rows: np.ndarray, sample_weight: np.ndarray | None) -> None:
        """Forget them."""

    def vector(self) -> np.ndarray:
        return np.array([1.0, gc.get_freeze_count() > len(gc.get_objects())])


@dataclass(frozen=True)
class CountFrozen:
    def accumulator(self) -> FrozenCount:
        return FrozenCount()


def test_most_of_what_a_worker_holds_is_not_looked_through_after_each_task(spark):
    table = spark.range(0, 1000, 1, 3).selectExpr("cast(id as double) as x")
    features = resolve_features(table, "", ["x"], None, None)
    with PackedTable(table, features) as packed:
        partitions = [h.partition for h in packed._handles]
        tasks, spared = added_up(packed._persisted, CountFrozen(), 2, partitions)
    assert (tasks, spared) == (3, 3)


def test_what_comes_later_is_not_frozen_too():
    try:
        spare_what_is_loaded()
        first = gc.get_freeze_count()
        later = [object() for _ in range(10)]
        cycle = [later]
        later.append(cycle)
        spare_what_is_loaded()
        assert 0 < gc.get_freeze_count() <= first  # once; what is freed since is not counted
    finally:
        gc.unfreeze()
