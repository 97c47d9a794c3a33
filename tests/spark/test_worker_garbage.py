"""Workers keep what they loaded out of the collections that pyspark makes after every task."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import numpy as np

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.packing.passes import added_up
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.worker import MOST_OBJECTS, spare_what_is_loaded


class Held:
    """Fold that forgets the rows and tells how many objects its worker's next collection looks through."""

    def add(self, rows: np.ndarray, sample_weight: np.ndarray | None) -> None:
        """Forget them."""

    def clear(self) -> None:
        """Begin anew."""

    def vector(self) -> np.ndarray:
        return np.array([1.0, len(gc.get_objects()) < 2 * MOST_OBJECTS, gc.get_freeze_count() > 10 * MOST_OBJECTS])


@dataclass(frozen=True)
class CountHeld:
    def accumulator(self) -> Held:
        return Held()


def test_little_of_what_a_worker_holds_is_looked_through_after_each_task(spark):
    table = spark.range(0, 1000, 1, 3).selectExpr("cast(id as double) as x")
    features = resolve_features(table, "", ["x"], None, None)
    with PackedTable(table, features) as packed:
        packed.expect([MixtureParameters([1.0], [[0.0]], [[1.0]], "diag")])  # loads what packing had no need of
        partitions = packed._numbers
        tasks, few, most_spared = added_up(packed._source(1), CountHeld(), 3, partitions)
    assert (tasks, few, most_spared) == (3, 3, 3)


def test_what_comes_later_is_spared_only_where_it_is_much():
    try:
        spare_what_is_loaded()
        held = gc.get_freeze_count()
        assert held > MOST_OBJECTS
        few = [[] for _ in range(10)]
        spare_what_is_loaded()
        assert gc.get_freeze_count() <= held  # what is freed since is not counted
        many = [[] for _ in range(2 * MOST_OBJECTS)]
        spare_what_is_loaded()
        assert gc.get_freeze_count() > held + len(many)
        assert len(few) == 10
    finally:
        gc.unfreeze()
