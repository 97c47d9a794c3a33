"""Workers freeze what they loaded, so that the garbage collection after each task is short."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.packing.passes import collect_sums
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.worker import MOST_OBJECTS, freeze_loaded_objects


class Held:
    """Fold that ignores the rows and counts the objects that its worker's next collection visits."""

    def add(self, rows: np.ndarray, sample_weight: np.ndarray | None) -> None:
        """Ignore them."""

    def clear(self) -> None:
        """Begin anew."""

    def vector(self) -> np.ndarray:
        return np.array([1.0, len(gc.get_objects()) < 2 * MOST_OBJECTS, gc.get_freeze_count() > 10 * MOST_OBJECTS])


@dataclass(frozen=True)
class CountHeld:
    plan: ClassVar[Any] = SimpleNamespace(n_products=1)
    length = 3

    def accumulator(self) -> Held:
        return Held()

    def read(self, vector: np.ndarray) -> np.ndarray:
        return vector


def test_a_workers_loaded_objects_are_frozen_before_each_collection(spark):
    table = spark.range(0, 1000, 1, 3).selectExpr("cast(id as double) as x")
    features = resolve_features(table, "", ["x"], None, None)
    with PackedTable(table, features) as packed:
        packed.expect([MixtureParameters([1.0], [[0.0]], [[1.0]], "diag")])  # loads what packing had no need of
        tasks, few, most_frozen = CountHeld().read(collect_sums(packed.blocks.source, CountHeld()))
    assert (tasks, few, most_frozen) == (3, 3, 3)


def test_later_objects_are_frozen_only_if_there_are_many():
    try:
        freeze_loaded_objects()
        held = gc.get_freeze_count()
        assert held > MOST_OBJECTS
        few: list[list[object]] = [[] for _ in range(10)]
        freeze_loaded_objects()
        assert gc.get_freeze_count() <= held  # what is freed since is not counted
        seen_by_collections = {id(one) for one in gc.get_objects()}
        assert all(id(one) in seen_by_collections for one in few)
        many: list[list[object]] = [[] for _ in range(2 * MOST_OBJECTS)]
        freeze_loaded_objects()
        # Counts alone do not tell: objects that were frozen before may have been freed meanwhile.
        seen_by_collections = {id(one) for one in gc.get_objects()}
        assert not any(id(one) in seen_by_collections for one in (*few, *many))
        assert gc.get_freeze_count() > MOST_OBJECTS + len(many)
    finally:
        gc.unfreeze()
