"""Sources of blocks: each gives the same answers, by different tasks."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import MixtureParameters
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.distance_draw import DrawRequest
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.spark.columns import Features
from gmm_spark.spark.packing import blocks as blocks_module
from gmm_spark.spark.packing import gathering as gathering_module
from gmm_spark.spark.packing import recovery as recovery_module
from gmm_spark.spark.packing import sources as sources_module
from gmm_spark.spark.packing import tasks as tasks_module
from gmm_spark.spark.packing.blocks import Handle
from gmm_spark.spark.packing.cluster import Cluster, survey_cluster
from gmm_spark.spark.packing.gathering import SOURCE
from gmm_spark.spark.packing.passes import SUMS, FoldPieces
from gmm_spark.spark.packing.pieces import Cut, Piece, share_out
from gmm_spark.spark.packing.sources import (
    LISTED_TASKS_PER_CORE,
    Cached,
    Listed,
    OverPieces,
    ReadCached,
    ReadListed,
    ReadStreamed,
    Streamed,
)
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.packing.tasks import StreamBlocks, WriteBlocks
from tests.spark.packing.fits import ROWS, START, Files, peak_of
from tests.tables import array_table, found_features, rough_start

pytestmark = pytest.mark.usefixtures("several_pieces")


@pytest.fixture
def long_table(spark: SparkSession) -> DataFrame:
    """Three partitions of several blocks of two columns, and weights."""
    wave = 1 + F.sin(F.col("id") * 0.7) + F.col("id") % 3
    return spark.range(0, 600_000, 1, 3).select(wave.alias("x"), (F.cos(wave) + 0.1 * wave).alias("y"), wave.alias("w"))


def swallow(pieces: Iterator[Piece]) -> Iterator[pa.RecordBatch]:
    """Task that reads nothing and returns nothing."""
    yield from ()


def tasks_of(packed: PackedTable, products: int = 1) -> int:
    """Number of Spark tasks of a pass with so many multiplications a row."""
    assert packed.blocks.source is not None
    return packed.blocks.source.map_pieces(swallow, SUMS, products).rdd.getNumPartitions()


def test_every_source_gives_the_same_bits(long_table: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    features = found_features(long_table, input_cols=["x", "y"], weight_col="w")
    start = MixtureParameters([0.4, 0.6], [[1.0, 0.0], [2.0, 0.5]], [[1.0, 1.0], [2.0, 0.5]], "diag")
    draw = DrawRequest(np.zeros(2), np.ones(2), np.zeros((2, 1)), 5, 0, 40.0)
    answers = []
    for hosts, streaming, kind in ((1, False, Listed), (2, False, Cached), (2, True, Streamed)):
        monkeypatch.setattr(recovery_module, "survey_cluster", lambda spark, hosts=hosts: Cluster(2, hosts))
        with PackedTable(long_table, features, streaming=streaming) as packed:
            assert isinstance(packed.blocks.source, kind)
            assert len(packed.blocks.source.pieces) > 2 * packed.n_partitions
            centred = start.shifted(-packed.moments.mean)
            sums, drawn = packed.expect([centred])[0], packed.draw(draw)
            rows, weight = packed.sample(300, 4)
            assert rows.shape == (2, 300)
            judged = packed.evaluate(centred)
            assert judged.rows == packed.rows == 600_000
            answers.append((sums.first, sums.second, rows, weight, drawn.rows, drawn.keys, judged.entropy))
    for other in answers[1:]:
        for ours, theirs in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("weight_col", [None, "w"])
def test_streaming_gives_the_same_statistics_as_files(
    table: DataFrame, block_files: Files, weight_col: str | None
) -> None:
    features = found_features(table, weight_col=weight_col)
    before = set(block_files())
    with PackedTable(table, features, streaming=True) as streamed, PackedTable(table, features) as filed:
        assert len(set(block_files()) - before) == 3  # all of them the second table's
        start = START.shifted(-filed.moments.mean)
        np.testing.assert_array_equal(streamed.moments.vector(), filed.moments.vector())
        ours, theirs = streamed.expect([start])[0], filed.expect([start])[0]
        for name in ("rows", "weight_sum", "log_likelihood", "resp_sum", "first", "second"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
        np.testing.assert_array_equal(streamed.sample(100, 3)[0], filed.sample(100, 3)[0])
        judged, expected = streamed.evaluate(start), filed.evaluate(start)
        assert (judged.log_likelihood, judged.entropy) == (expected.log_likelihood, expected.entropy)
        assert not streamed.bad


def test_streaming_counts_bad_rows_and_empty_partitions(spark: SparkSession, table: DataFrame) -> None:
    holed = table.withColumn("features", F.when(F.col("id") % 10 != 0, F.col("features"))).repartition(7, F.lit(1))
    with PackedTable(holed, found_features(holed), strict=False, streaming=True) as streamed:
        assert streamed.n_partitions == 7
        assert streamed.rows == 540
        assert streamed.bad == {"null feature": 60}
        assert streamed.sample(1000, 0)[0].shape == (3, 540)


def test_partitions_without_usable_rows_are_pieces_too(spark: SparkSession) -> None:
    table = spark.range(0, 90, 1, 9).select(F.when(F.col("id") % 20 < 10, F.col("id")).cast("double").alias("x"))
    features = found_features(table, input_cols=["x"])
    for streaming in (False, True):
        with PackedTable(table, features, strict=False, streaming=streaming) as packed:
            numbers = {piece.partition for piece in packed.blocks.source.pieces}
            assert len(numbers) == packed.n_partitions == 9
            assert packed.evaluate(MixtureParameters([1.0], [[0.0]], [[1.0]], "diag")).rows == 50
            assert packed.blocks.misses == 0


@pytest.mark.parametrize("rows", [0, 300, 5_000])
def test_every_reader_yields_the_same_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    for module in (tasks_module, gathering_module):
        monkeypatch.setattr(module, "task_number", lambda: 0)
    monkeypatch.setattr(tasks_module, "local_directories", lambda: [str(tmp_path)])
    monkeypatch.setattr(blocks_module, "BLOCK_BYTES", 1)  # blocks of 256 rows
    features = Features(("v",), "array", 2, False, "w")
    values = np.random.default_rng(0).normal(size=(rows, 2))
    table = pa.table({"v": pa.array(list(values), pa.list_(pa.float64())), "w": np.arange(1.0, rows + 1)})
    table = table.append_column(SOURCE, pa.array(np.full(rows, 7, np.int32)))

    def batches() -> Iterator[pa.RecordBatch]:
        return iter(table.to_batches(max_chunksize=100))

    def read_all(pieces: Iterator[Piece]) -> list[tuple[int, list[list[float]], list[float]]]:
        found = []
        for number, blocks in pieces:
            assert blocks is not None
            parts = [(block.copy(), weight.copy()) for block, weight in blocks if weight is not None]
            found.append((number, [b.tolist() for b, _ in parts], [w.tolist() for _, w in parts]))
        return found

    try:
        (written,) = WriteBlocks(features, "run", strict=True, by_task=False)(batches())
        streamed = list(StreamBlocks(features, strict=True, by_task=False)(batches()))
    finally:
        gc.unfreeze()
    handle = Handle.from_json(written.column("handle")[0].as_py())
    cut = Cut(3, 20)
    lists = tuple(piece.to_json() for piece in cut.split(handle))
    numbers = pa.RecordBatch.from_pydict({"id": np.arange(len(lists))})
    known = {handle.partition: handle.checksum}
    cached = read_all(ReadCached(cut, known)(iter([written])))
    assert [number for number, _, _ in cached] == [
        (7 if rows else (1 << 23)) * 20 + i for i in range(max(1, -(-rows // 768)))
    ]
    assert [row for _, blocks, _ in cached for block in blocks for row in np.transpose(block).tolist()] == (
        values.tolist()
    )
    assert read_all(ReadListed(lists)(iter([numbers]))) == cached
    assert read_all(ReadStreamed(cut, known)(iter(streamed))) == cached

    # Spark may pack lost partitions again unasked: what the driver does not know of is a miss.
    other = {handle.partition: handle.checksum + 1}
    (missed,) = ReadCached(cut, other)(iter([written]))
    assert missed == (handle.partition * 20, None)
    *_, missed = ReadStreamed(cut, other)(iter(streamed))
    assert missed == (handle.partition * 20, None)


# Tasks of a pass


@pytest.mark.usefixtures("hosts")
def test_few_rows_in_many_partitions_are_few_tasks(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "GROUPS_PER_HOST", 1)
    table = array_table(spark, ROWS, 12)
    with PackedTable(table, found_features(table)) as blocks:
        assert blocks.n_partitions == 12
        assert tasks_of(blocks) == survey_cluster(spark).cores < 12
        assert blocks.evaluate(rough_start(ROWS)).rows == len(ROWS)


@pytest.mark.usefixtures("several_hosts")
def test_partitions_are_grouped_only_if_each_host_has_enough_groups(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "GROUPS_PER_HOST", 5)
    for partitions, tasks in ((20, 20), (21, 10)):
        table = array_table(spark, ROWS, partitions)
        with PackedTable(table, found_features(table)) as packed:
            assert tasks_of(packed) == tasks


def test_one_large_partition_is_shared_out_among_all_cores(spark: SparkSession, long_table: DataFrame) -> None:
    table, cores = long_table.coalesce(1), survey_cluster(spark).cores
    assert survey_cluster(spark) == Cluster(cores, 1)
    with PackedTable(table, found_features(table, input_cols=["x", "y"])) as packed:
        assert packed.n_partitions == 1
        assert isinstance(packed.blocks.source, Listed)
        lists = share_out(packed.blocks.source.pieces, cores)
        rows = [sum(piece.rows for piece in pieces) for pieces in lists]
        assert max(rows) - min(rows) <= packed.blocks.packing.handles[0].block_rows
        assert tasks_of(packed) == cores > 1
        assert tasks_of(packed, 10**9) == cores * LISTED_TASKS_PER_CORE
        many = Listed(spark, packed.blocks.packing, 1_000)
        assert many.n_tasks(10**9) == len(many.pieces)


def test_one_large_partition_is_spread_out_among_several_hosts(
    long_table: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_module, "survey_cluster", lambda spark: Cluster(cores=3, hosts=2))
    table = long_table.coalesce(1)
    with PackedTable(table, found_features(table, input_cols=["x", "y"])) as packed:
        assert packed.n_partitions == tasks_of(packed) == 3
        assert min(h.rows for h in packed.blocks.packing.handles) > 150_000
        assert packed.evaluate(MixtureParameters([1.0], [[0.0, 0.0]], [[1.0, 1.0]], "diag")).rows == 600_000


@pytest.mark.usefixtures("several_hosts")
def test_streaming_has_a_task_for_each_partition_even_if_cached_passes_had_fewer(
    spark: SparkSession, block_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_module, "MAX_REBUILDS", 0)
    monkeypatch.setattr(sources_module, "GROUPS_PER_HOST", 1)
    table = array_table(spark, ROWS, 12)
    before = set(block_files())
    with PackedTable(table, found_features(table)) as packed:
        assert tasks_of(packed) < 12
        for file in set(block_files()) - before:
            file.unlink()
        with pytest.warns(RuntimeWarning, match="streaming"):
            assert packed.evaluate(START).rows == len(ROWS)
        assert isinstance(packed.blocks.source, Streamed)
        assert tasks_of(packed) == 12
        assert packed.evaluate(START).rows == len(ROWS)


def test_memory_of_a_pass_does_not_grow_with_the_partition(tmp_path: Path) -> None:
    start = rough_start(np.random.default_rng(0).normal(size=(9, 4)))
    fold = FoldPieces(StatisticsSums(plan_pass([start], np.zeros(4), np.ones(4))), 1 << 17)
    block, weight = np.ones((4, 8192)), np.ones(8192)

    def peak_of_a_pass(blocks: int) -> int:
        path = tmp_path / f"{blocks}.blocks"
        path.write_bytes((block.tobytes() + weight.tobytes()) * blocks)
        handle = Handle(0, str(path), 8192 * blocks, 8192, 4, "float64", True)
        handles = pa.RecordBatch.from_pydict({"handle": [handle.to_json()]})
        task = OverPieces(ReadCached(Cut(blocks, 1), {0: 0}), fold)
        return peak_of(lambda: list(task(iter([handles]))))

    try:
        peak_of_a_pass(2)  # what is loaded on first use is no part of either peak
        assert peak_of_a_pass(200) < 1.1 * peak_of_a_pass(20)
    finally:
        gc.unfreeze()  # a task freezes its worker's heap: here that is the tests' own
