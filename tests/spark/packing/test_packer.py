"""Packing: one private file for each task, partition ids, and no files left behind."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.spark.columns import Features
from gmm_spark.spark.packing import gathering as gathering_module
from gmm_spark.spark.packing import tasks as tasks_module
from gmm_spark.spark.packing.blocks import Handle
from gmm_spark.spark.packing.gathering import SOURCE, identify
from gmm_spark.spark.packing.table import PackedTable
from gmm_spark.spark.packing.tasks import WriteBlocks
from tests.spark.packing.fits import PASSES, ROWS, START, WEIGHT, Files, fit, peak_of
from tests.tables import array_table, found_features

pytestmark = pytest.mark.usefixtures("several_pieces")


# Files


def test_a_fit_has_one_private_file_a_partition_and_leaves_none(table: DataFrame, block_files: Files) -> None:
    before = set(block_files())
    seen: list[set[Path]] = []
    modes: set[int] = set()

    def look(record: PassRecord) -> None:
        mine = set(block_files()) - before
        seen.append(mine)
        modes.update(stat.S_IMODE(f.stat().st_mode) for f in mine)

    fit(table, look)
    assert [len(files) for files in seen] == [3] * PASSES
    assert all(f.suffix == ".blocks" for f in seen[0])  # none is still being written
    assert sum(len(files) for files in seen) == 3 * PASSES
    assert len(set.union(*seen)) == 3  # the same files serve every pass
    assert modes == {0o600}
    assert not set(block_files()) - before


def test_a_block_file_holds_features_and_weights_and_no_more(table: DataFrame, block_files: Files) -> None:
    before = set(block_files())
    with PackedTable(table, found_features(table, weight_col="w")):
        sizes = [f.stat().st_size for f in set(block_files()) - before]
    assert sum(sizes) == len(ROWS) * (3 + 1) * 8


def test_empty_partitions_have_no_file(spark: SparkSession, table: DataFrame, block_files: Files) -> None:
    before = set(block_files())
    one_of_nine = table.repartition(9, F.lit(1))
    with PackedTable(one_of_nine, found_features(table)) as blocks:
        assert blocks.n_partitions == 9
        assert len(set(block_files()) - before) == 1
        assert blocks.rows == len(ROWS)


@pytest.mark.parametrize("error", [KeyError("the callback's own failure"), KeyboardInterrupt("the callback's own")])
def test_a_fit_that_fails_or_is_interrupted_between_passes_leaves_no_files(
    table: DataFrame, block_files: Files, error: BaseException
) -> None:
    before = set(block_files())

    def fail(record: PassRecord) -> None:
        assert set(block_files()) - before
        raise error

    with pytest.raises(type(error), match="own"):
        fit(table, fail)
    assert not set(block_files()) - before


def test_a_fit_whose_source_fails_leaves_no_files(table: DataFrame, block_files: Files) -> None:
    before = set(block_files())
    last = F.when(F.col("id") == len(ROWS) - 1, F.raise_error(F.lit("a broken source"))).otherwise(F.col("features"))
    broken = table.withColumn("features", last.cast("array<double>"))
    with pytest.raises(PySparkException, match="a broken source"):
        fit(broken, lambda record: None)
    assert not set(block_files()) - before


def test_memory_of_packing_does_not_grow_with_the_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = Features(("v",), "array", 4, False, "w")
    batch = pa.RecordBatch.from_pydict({"v": pa.array(np.ones((10_000, 4)).tolist()), "w": np.ones(10_000)})
    # Not append_column: pyarrow 15 has none.
    columns = [*batch.columns, pa.array(np.zeros(10_000, np.int32))]
    batch = pa.RecordBatch.from_arrays(columns, names=[*batch.schema.names, SOURCE])
    monkeypatch.setattr(tasks_module, "task_number", lambda: 0)
    monkeypatch.setattr(tasks_module, "local_directories", lambda: [str(tmp_path)])

    def pack(batches: int) -> Handle:
        (answer,) = WriteBlocks(features, "run", strict=True, by_task=False)(batch for _ in range(batches))
        return Handle.from_json(answer.column("handle")[0].as_py())

    pack(2)  # what is loaded on first use is no part of either peak
    assert pack(200).rows == 10 * pack(20).rows
    assert peak_of(lambda: pack(200)) < 1.1 * peak_of(lambda: pack(20))


# Partitions and tasks


@pytest.mark.usefixtures("five_tasks", "hosts")
@pytest.mark.parametrize("streaming", [False, True])
def test_many_partitions_are_packed_by_a_bounded_number_of_tasks(
    spark: SparkSession, block_files: Files, streaming: bool
) -> None:
    table = array_table(spark, ROWS, 12, weight=WEIGHT)
    before = set(block_files())
    with PackedTable(table, found_features(table, weight_col="w"), streaming=streaming) as packed:
        assert packed.n_partitions == 5
        assert len(set(block_files()) - before) == (0 if streaming else 5)
        assert packed.rows == len(ROWS)
        np.testing.assert_allclose(packed.moments.mean, np.average(ROWS, axis=0, weights=WEIGHT), rtol=1e-12)
        start = START.shifted(-packed.moments.mean)
        expected = StatisticsSums(plan_pass([start], np.zeros(3), packed.moments.scale))
        fold = expected.accumulator()
        fold.add(np.ascontiguousarray((ROWS - packed.moments.mean).T), WEIGHT)
        (theirs,) = expected.read(fold.vector())
        (ours,) = packed.expect([start])
        np.testing.assert_allclose(ours.log_likelihood, theirs.log_likelihood, rtol=1e-12)
        np.testing.assert_allclose(ours.resp_sum, theirs.resp_sum, rtol=1e-12)


def test_each_of_a_few_partitions_is_packed_by_a_task_of_its_own(spark: SparkSession) -> None:
    table = array_table(spark, ROWS, 12)
    sizes = [row["count"] for row in table.groupBy(F.spark_partition_id().alias("p")).count().orderBy("p").collect()]
    with PackedTable(table, found_features(table)) as packed:
        assert [h.partition for h in packed.blocks.packing.handles] == list(range(12))
        assert [h.rows for h in packed.blocks.packing.handles] == sizes


def test_a_partitions_id_is_that_of_its_rows_not_the_tasks_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_module, "task_number", lambda: 2)
    batches = [
        pa.RecordBatch.from_pydict({"c0": np.arange(float(len(source))), SOURCE: pa.array(source, pa.int32())})
        for source in ([], [7, 7], [3])
    ]
    number, rest = identify(iter(batches), by_task=False)
    assert number == 7
    assert [batch.to_pydict() for batch in rest] == [{"c0": [0.0, 1.0]}, {"c0": [0.0]}]
    first, nothing = identify(iter(batches[:1]), by_task=False)
    monkeypatch.setattr(gathering_module, "task_number", lambda: 3)
    assert list(nothing) == []
    assert 1 << 23 <= first != identify(iter([]), by_task=False)[0]


def test_rows_that_the_driver_holds_get_an_id_for_each_task(spark: SparkSession) -> None:
    """Spark computes partition ids on the driver, before it splits the rows."""
    held = spark.createDataFrame(pa.table({"x": np.arange(10.0), "y": np.arange(10.0)}))
    with PackedTable(held, found_features(held, input_cols=["x", "y"])) as packed:
        assert packed.n_partitions > 1
        assert len({handle.partition for handle in packed.blocks.packing.handles}) == packed.n_partitions
        rows, _ = packed.sample(100, 0)
        np.testing.assert_array_equal(np.sort(rows[0]), np.arange(10.0))
    assert packed.blocks.misses == 0
