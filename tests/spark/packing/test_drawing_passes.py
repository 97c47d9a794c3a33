"""k-means|| over the full table finds rare rows in any partition, even if blocks are lost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureSelector
from gmm_spark.core.kernels.distance_draw import DrawRequest, DrawResult
from gmm_spark.core.search.kmeans_parallel import complete_sample
from gmm_spark.core.table import ArrayTable
from gmm_spark.spark.packing.blocks import Handle, read_file
from gmm_spark.spark.packing.passes import DrawFromPieces
from gmm_spark.spark.packing.pieces import Piece
from gmm_spark.spark.packing.table import PackedTable
from tests.tables import array_table, found_features, in_order, three_blobs

RARE = 6
ROWS = np.concatenate([three_blobs(5_000), np.full((RARE, 3), 500.0) + np.random.default_rng(2).normal(size=(RARE, 3))])
WEIGHT = 0.5 + np.arange(len(ROWS), dtype=float) % 4


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> Iterator[DataFrame]:
    found = array_table(spark, ROWS, partitions=5, weight=WEIGHT).persist()  # Spark cuts ranges again at every reading
    yield found
    found.unpersist()


def draw_of(packed: PackedTable, number: int = 0, expected: float = 40.0) -> DrawRequest:
    moments = packed.moments
    return DrawRequest(moments.mean, np.sqrt(moments.variance), np.zeros((3, 1)), 3, number, expected)


def assert_same(left: DrawResult, right: DrawResult) -> None:
    for name in ("rows", "weight", "keys", "cells", "cost"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def test_a_pass_adds_up_cells_and_cost_of_all_partitions(table: DataFrame) -> None:
    in_memory = ArrayTable(np.ascontiguousarray(ROWS.T), WEIGHT)
    sites = ((ROWS[[0, 1, 2, -1]] - ROWS.mean(axis=0)) / ROWS.std(axis=0)).T
    draw = DrawRequest(ROWS.mean(axis=0), ROWS.std(axis=0), sites, 0, 0, 40.0)
    with PackedTable(table, found_features(table, weight_col="w")) as packed:
        found, expected = packed.draw(draw), in_memory.draw(draw)
    np.testing.assert_allclose(found.cells, expected.cells, rtol=1e-12)
    assert found.cost == pytest.approx(expected.cost, rel=1e-12)
    assert 15 < found.rows.shape[1] < 80
    weight_of = dict(zip(ROWS[:, 0], WEIGHT, strict=True))
    assert found.weight.tolist() == [weight_of[value] for value in found.rows[0]]


def test_the_same_pass_twice_gives_the_same_rows_and_so_does_streaming(table: DataFrame) -> None:
    features = found_features(table, weight_col="w")
    with PackedTable(table, features) as packed, PackedTable(table, features, streaming=True) as streamed:
        first, again, other = (
            packed.draw(draw_of(packed)),
            packed.draw(draw_of(packed)),
            packed.draw(draw_of(packed, 1)),
        )
        by_streaming = streamed.draw(draw_of(streamed))
    assert_same(first, again)
    assert_same(first, by_streaming)
    assert not np.array_equal(first.rows, other.rows)


def test_a_lost_file_is_packed_again_and_gives_the_same_bits(
    table: DataFrame, block_files: Callable[[], list[Path]]
) -> None:
    before = set(block_files())
    with PackedTable(table, found_features(table)) as packed:
        expected = packed.draw(draw_of(packed))
        for file in sorted(set(block_files()) - before)[:2]:
            file.unlink()
        assert_same(packed.draw(draw_of(packed)), expected)
    assert not set(block_files()) - before


@pytest.mark.parametrize("streaming", [False, True])
def test_a_sample_is_completed_from_partitions_that_may_be_empty(table: DataFrame, streaming: bool) -> None:
    crowded = table.filter("id % 3 = 0 or id >= 5000").repartition(4, F.col("id") >= 5000)
    with PackedTable(crowded, found_features(crowded), streaming=streaming) as packed:
        assert packed.n_partitions == 4  # of which two at most have rows
        few = np.ascontiguousarray(ROWS[:300].T)
        rows, weight = complete_sample(packed, (few, None), packed.moments.variance, 3, seed=1)
        assert weight.sum() == pytest.approx(packed.rows, rel=1e-12)
    rare = rows[:, rows[0] > 250].T
    np.testing.assert_array_equal(in_order(rare), in_order(ROWS[-RARE:]))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_finds_a_component_that_its_sample_has_no_row_of(table: DataFrame, weighted: bool) -> None:
    rare = ROWS[-RARE:]
    weight = WEIGHT if weighted else np.ones(len(ROWS))
    estimator = GaussianMixture(k=4, initMode="k-means||", sampleRows=200, nInit=2, seed=1)
    model = (estimator.setWeightCol("w") if weighted else estimator).fit(table)
    found = int(model.means[:, 0].argmax())
    assert model.weights[found] == pytest.approx(weight[-RARE:].sum() / weight.sum(), rel=1e-6)
    np.testing.assert_allclose(model.means[found], np.average(rare, axis=0, weights=weight[-RARE:]), atol=1e-6)


def test_the_same_seed_gives_the_same_bits(table: DataFrame) -> None:
    estimator = GaussianMixture(k=3, initMode="k-means||", sampleRows=500, maxIter=2, tol=0.0, seed=8)
    first, second = estimator.fit(table), estimator.fit(table)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def test_a_selection_may_start_by_oversampling(table: DataFrame) -> None:
    selector = GaussianMixtureSelector(ks=[1, 4], initMode="k-means||", sampleRows=200)
    model = selector.fit(table)
    assert model.getK() == 4
    assert model.means[:, 0].max() == pytest.approx(500.0, abs=2.0)


def test_memory_does_not_grow_with_the_partition(tmp_path: Path) -> None:
    block = np.random.default_rng(0).standard_normal((4, 8192))
    task = DrawFromPieces(DrawRequest(np.zeros(4), np.ones(4), np.zeros((4, 1)), 0, 0, 10.0))

    def peak_of(blocks: int) -> int:
        path = tmp_path / f"{blocks}.blocks"
        path.write_bytes(block.tobytes() * blocks)
        handle = Handle(0, str(path), 8192 * blocks, 8192, 4, "float64", False)
        tracemalloc.start()
        (answer,) = task(iter([Piece(0, read_file(handle))]))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(answer.column("keys")[0].as_py()) < 8 * 40
        return peak

    peak_of(2)  # what is loaded on first use is no part of either peak
    assert peak_of(100) < 1.1 * peak_of(10)
