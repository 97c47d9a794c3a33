"""PackedTable: fits whose blocks are lost, tables that change, and samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import resolve_features
from gmm_spark.spark.packing import packer as packer_module
from gmm_spark.spark.packing import recovery as recovery_module
from gmm_spark.spark.packing.cluster import Cluster
from gmm_spark.spark.packing.packer import Packer, Packing
from gmm_spark.spark.packing.recovery import MAX_REBUILDS
from gmm_spark.spark.packing.sources import Source
from gmm_spark.spark.packing.table import PackedTable
from tests.spark.packing.fits import PASSES, ROWS, START, WEIGHT, Files, assert_same_bits, fit
from tests.tables import array_table, found_features

pytestmark = pytest.mark.usefixtures("several_pieces")


@pytest.fixture(scope="module")
def undisturbed(table: DataFrame) -> GaussianMixtureModel:
    return fit(table, lambda record: None)


# Misses


def delete_on(passes: set[int], files: Files, pick: Callable[[list[Path]], list[Path]]) -> Callable[[PassRecord], None]:
    before = set(files())

    def delete(record: PassRecord) -> None:
        if record.iteration in passes:
            chosen = pick(sorted(set(files()) - before))
            assert chosen, "nothing to delete: the test would prove nothing"
            for file in chosen:
                file.unlink()

    return delete


@pytest.mark.usefixtures("hosts")
def test_a_fit_survives_a_block_file_deleted_between_passes(
    table: DataFrame, undisturbed: GaussianMixtureModel, block_files: Files
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        survivor = fit(table, delete_on({2}, block_files, lambda files: files[:1]))
    assert_same_bits(survivor, undisturbed)


def test_a_rebuild_leaves_no_files_of_the_first_packing(table: DataFrame, block_files: Files) -> None:
    before = set(block_files())
    fit(table, delete_on({2}, block_files, lambda files: files[:1]))
    assert not set(block_files()) - before


@pytest.mark.usefixtures("hosts")
def test_a_truncated_file_is_a_miss(table: DataFrame, undisturbed: GaussianMixtureModel, block_files: Files) -> None:
    before = set(block_files())

    def truncate(record: PassRecord) -> None:
        if record.iteration == 3:
            file = min(set(block_files()) - before)
            with file.open("r+b") as opened:
                opened.truncate(file.stat().st_size - 8)

    assert_same_bits(fit(table, truncate), undisturbed)


def test_a_file_lost_before_the_last_pass_does_not_spoil_the_summary(
    table: DataFrame, undisturbed: GaussianMixtureModel, block_files: Files
) -> None:
    survivor = fit(table, delete_on({PASSES}, block_files, lambda files: files))
    assert survivor.summary.logLikelihood == undisturbed.summary.logLikelihood
    assert survivor.summary.clusterSizes == undisturbed.summary.clusterSizes


def test_a_fit_whose_every_pass_misses_ends_by_streaming_with_one_warning(
    table: DataFrame, undisturbed: GaussianMixtureModel, block_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(block_files())
    pack, packings = Packer.pack, []

    def pack_and_lose(self: Packer, cores: int, streaming: bool, **options: Any) -> Packing:
        found = pack(self, cores, streaming, **options)
        packings.append(streaming)
        for file in set(block_files()) - before:
            file.unlink()
        return found

    monkeypatch.setattr(Packer, "pack", pack_and_lose)
    with pytest.warns(RuntimeWarning, match="streaming") as caught:
        survivor = fit(table, lambda record: None)
    assert packings == [False, False, False, True]  # packed, rebuilt twice, streamed
    record = survivor.summary.packing
    assert (record.packings, record.misses, record.streamed) == (4, 3, True)
    assert record.bytes_written == 4 * undisturbed.summary.packing.bytes_written
    assert record.passes == undisturbed.summary.packing.passes == 1 + PASSES + 1  # a sample, and the evaluation
    assert len([w for w in caught if "streaming" in str(w.message)]) == 1
    assert_same_bits(survivor, undisturbed)
    assert not set(block_files()) - before


@pytest.mark.usefixtures("hosts")
def test_files_lost_after_every_pass_end_in_streaming_and_the_same_answer(
    table: DataFrame, undisturbed: GaussianMixtureModel, block_files: Files
) -> None:
    lose = delete_on(set(range(1, MAX_REBUILDS + 2)), block_files, lambda files: files)
    with pytest.warns(RuntimeWarning, match="slower"):
        survivor = fit(table, lose)
    assert_same_bits(survivor, undisturbed)


@pytest.mark.usefixtures("five_tasks", "hosts")
def test_a_rebuild_may_group_the_partitions_differently(
    spark: SparkSession, block_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = array_table(spark, ROWS + 1e6, 12)
    with PackedTable(table, found_features(table)) as packed:
        start = START.shifted(1e6 - packed.moments.mean)
        before = packed.expect([start])[0].log_likelihood
        for tasks, attempt in (
            (1, lambda: packed.sample(500, 1)[0].shape == (3, 500)),
            (2, lambda: abs(packed.expect([start])[0].log_likelihood / before - 1) < 1e-12),
        ):
            monkeypatch.setattr(packer_module, "PACK_TASKS", tasks)
            for handle in packed.blocks.packing.handles:
                Path(handle.path).unlink()
            assert attempt()
            assert packed.n_partitions == tasks + 2


# Tables that change


def test_a_source_that_gives_other_rows_when_read_again_is_refused(
    spark: SparkSession, tmp_path: Path, block_files: Files
) -> None:
    count = tmp_path / "count"
    count.write_text("50")
    path = str(count)

    def unstable(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in stream:
            with open(path) as file:
                n = int(file.read())
            yield pa.RecordBatch.from_pydict(
                {"x": [float(i % 13) for i in range(n)], "y": [float(i) for i in range(n)]}
            )
            del batch

    before = set(block_files())

    def lose_and_change(record: PassRecord) -> None:
        if record.iteration == 1:
            (set(block_files()) - before).pop().unlink()
            count.write_text("49")

    source = spark.range(0, 2, 1, 2).mapInArrow(unstable, "x double, y double")
    estimator = GaussianMixture(inputCols=["x", "y"], tol=0.0, accelerate=False, maxIter=3, sampleRows=90)
    estimator.setCallback(lose_and_change)
    with pytest.raises(DataError, match=r"100 rows.* 98 .*not deterministic.*Parquet"):
        estimator.fit(source)
    assert not set(block_files()) - before


def test_as_many_other_rows_are_refused_when_read_again(
    spark: SparkSession, tmp_path: Path, block_files: Files
) -> None:
    seed = tmp_path / "seed"
    seed.write_text("1")
    path = str(seed)

    def draw_again(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in stream:
            with open(path) as file:
                yield pa.RecordBatch.from_pydict({"x": np.random.default_rng(int(file.read())).normal(1e4, 1.0, 500)})

    source = spark.range(0, 2, 1, 2).mapInArrow(draw_again, "x double")
    with PackedTable(source, found_features(source, input_cols=["x"])) as packed:
        Path(packed.blocks.packing.handles[0].path).unlink()
        seed.write_text("2")
        with pytest.raises(DataError, match=r"1000 rows.* as many others .*not deterministic.*Parquet"):
            packed.sample(10, 0)


def test_the_same_values_in_other_combinations_are_told_of_when_read_again(spark: SparkSession, tmp_path: Path) -> None:
    order = tmp_path / "order"
    order.write_text("1")
    path = str(order)

    def combine(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        x = np.arange(500.0) % 7
        for _ in stream:
            with open(path) as file:
                yield pa.RecordBatch.from_pydict({"x": x, "y": x[:: int(file.read())]})

    source = spark.range(0, 2, 1, 2).mapInArrow(combine, "x double, y double")
    with PackedTable(source, found_features(source, input_cols=["x", "y"])) as packed:
        Path(packed.blocks.packing.handles[0].path).unlink()
        order.write_text("-1")  # sums of whole numbers are exact: moments show nothing
        with pytest.warns(RuntimeWarning, match="not to the bit what they were"):
            packed.sample(10, 0)


@pytest.mark.parametrize("streaming", [False, True])
def test_partitions_that_spark_packs_again_unasked_are_not_mixed_with_those_of_another_table(
    spark: SparkSession, tmp_path: Path, streaming: bool
) -> None:
    order = tmp_path / "order"
    order.write_text("1")
    path = str(order)

    def pair_again(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in stream:
            with open(path) as file:
                step = int(file.read())
            x = np.arange(1.0, 501.0)
            yield pa.RecordBatch.from_pydict({"x": x + len(batch), "y": x[::step]})

    source = spark.range(0, 2, 1, 2).mapInArrow(pair_again, "x double, y double")
    features = found_features(source, input_cols=["x", "y"])
    with (
        patch.object(recovery_module, "survey_cluster", lambda spark: Cluster(cores=2, hosts=2)),
        PackedTable(source, features, streaming=streaming) as packed,
    ):
        before = packed.sample(10, 0)[0]
        order.write_text("-1")  # as many rows, and of each feature the same values
        kept = packed.blocks.packing.blocks
        kept.unpersist(blocking=True)  # as if their executor had been lost: Spark reads them again in the next pass
        kept.persist()
        with pytest.warns(RuntimeWarning, match=r"not to the bit what they were"):
            after = packed.sample(1000, 0)[0]
        assert packed.blocks.misses == 1
        assert (before[0] - 1 == before[1]).all()
        assert (after[0] + after[1] == 502).all()


def test_a_table_that_never_gives_the_same_rows_is_refused_at_last(spark: SparkSession, tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    path = str(count)

    def pair_anew(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in stream:
            with open(path, "r+") as file:
                turn = int(file.read()) + 1
                file.seek(0)
                file.write(str(turn))
            x = np.arange(1.0, 501.0)
            yield pa.RecordBatch.from_pydict({"x": x, "y": np.roll(x, turn)})

    source = spark.range(0, 1, 1, 1).mapInArrow(pair_anew, "x double, y double")
    with PackedTable(source, found_features(source, input_cols=["x", "y"]), streaming=True) as packed:

        def lose(source: Source) -> None:
            kept = packed.blocks.packing.blocks
            kept.unpersist(blocking=True)
            kept.persist()

        with pytest.warns(RuntimeWarning), pytest.raises(DataError, match="other rows each time"):
            packed.blocks.run(lose)


def test_a_table_that_changes_before_it_is_spread_over_the_cores_is_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    reads = tmp_path / "reads"
    reads.write_text("")
    path = str(reads)

    def grow(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in stream:
            with open(path, "a") as file:
                file.write("x")
                size = 5 + file.tell()
            yield pa.RecordBatch.from_pydict({"x": np.arange(1.0, size)})

    source = spark.range(0, 1, 1, 1).mapInArrow(grow, "x double")
    with (
        patch.object(recovery_module, "survey_cluster", lambda spark: Cluster(cores=2, hosts=2)),
        patch.object(recovery_module, "spread_over", lambda rows, cores: 2),
        pytest.raises(DataError, match=r"5 rows .* 6 when it was read again"),
    ):
        PackedTable(source, found_features(source, input_cols=["x"]))


# Encryption


@pytest.mark.parametrize("enabled", ["true", "TRUE "])
def test_rows_stay_off_local_disks_if_spark_must_encrypt_them(
    table: DataFrame,
    undisturbed: GaussianMixtureModel,
    block_files: Files,
    monkeypatch: pytest.MonkeyPatch,
    enabled: str,
) -> None:
    conf = type(table.sparkSession.conf)
    get = conf.get

    def encrypted(self: Any, key: str, *default: Any) -> Any:
        return enabled if key == "spark.io.encryption.enabled" else get(self, key, *default)

    monkeypatch.setattr(conf, "get", encrypted)
    before = set(block_files())
    written: list[Path] = []
    model = fit(table, lambda record: written.extend(set(block_files()) - before))
    assert written == []
    assert_same_bits(model, undisturbed)


# Samples


def test_a_sample_is_drawn_without_replacement_from_all_partitions_alike(spark: SparkSession) -> None:
    uneven = (
        spark.range(0, 4000, 1, 2)
        .select(F.col("id").cast("double").alias("x"))
        .union(spark.range(4000, 10_000, 1, 1).select(F.col("id").cast("double").alias("x")))
    )
    with PackedTable(uneven, found_features(uneven, input_cols=["x"])) as blocks:
        first, again, other = (blocks.sample(2500, seed)[0][0] for seed in (1, 1, 2))
    assert len(first) == len(np.unique(first)) == 2500
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    # 2500 of 10,000: a tenth of the range gets 250 give or take 5 deviations of sqrt(250 * 0.9 * 0.75).
    counts, _ = np.histogram(first, bins=10, range=(0, 10_000))
    assert np.abs(counts - 250).max() < 5 * np.sqrt(250 * 0.9 * 0.75)


def test_a_sample_of_more_than_there_is_takes_every_row_once(table: DataFrame) -> None:
    with PackedTable(table, found_features(table, weight_col="w")) as blocks:
        rows, weight = blocks.sample(601, 0)
    assert weight is not None
    order, expected = np.lexsort(rows), np.lexsort(ROWS.T)
    np.testing.assert_array_equal(rows.T[order], ROWS[expected])
    np.testing.assert_array_equal(weight[order], WEIGHT[expected])


def test_a_sample_of_weighted_rows_stands_for_the_weight_and_for_the_rows(spark: SparkSession) -> None:
    heavy = F.col("id") % 2500 == 7
    weighted = spark.range(0, 20_000, 1, 3).select(
        F.col("id").cast("double").alias("x"), F.when(heavy, F.lit(1e6)).otherwise(1.0).alias("w")
    )
    with PackedTable(weighted, found_features(weighted, input_cols=["x"], weight_col="w")) as blocks:
        (first, weight), again, other = (blocks.sample(2000, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(weight, again[1])
    assert not np.array_equal(first, other[0])
    assert first.shape == (1, 2000)
    assert (np.diff(first[0]) > 0).all()  # in table order, none twice
    of_heavy = first[0] % 2500 == 7
    np.testing.assert_array_equal(weight[of_heavy], np.full(8, 1e6))
    assert weight[~of_heavy].sum() == pytest.approx(20_000 - 8, rel=0.1)
    counts, _ = np.histogram(first, bins=10, range=(0, 20_000))
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200 * 0.9)


# Numbers that float64 rounds


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["few", "many", "small", "cast"], {"few": 1, "many": 898}),
        (["features"], {"features[1]": 898}),
    ],
)
def test_every_value_that_float64_may_round_is_counted_wherever_it_lies(
    spark: SparkSession, columns: list[str], expected: dict[str, int], streaming: bool
) -> None:
    table = spark.range(0, 1_000, 1, 3).selectExpr(
        f"if(id = 777, -{2**53 + 1}L, id) as few",
        f"cast(if(id > 100, {2**53 - 1}L + if(id = 200, 0, 1), id) as decimal(20, 0)) as many",  # not the 200th
        "id as small",
        f"cast({2**60}L + id as double) as cast",  # rounded by whoever wrote the table
        f"array(id, if(id > 100, {2**53 - 1}L + if(id = 200, 0, 1), 0L)) as features",
    )
    features = resolve_features(table, "features", columns if len(columns) > 1 else None, None, None)
    assert features is not None
    with (
        pytest.warns(RuntimeWarning, match=r"2\*\*53"),
        PackedTable(table, features, streaming=streaming) as packed,
    ):
        assert packed.rounded == expected
