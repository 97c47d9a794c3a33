"""Blocks on local disks: their files, and a fit that goes on whatever becomes of them."""

from __future__ import annotations

import stat
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from gmm_spark import GaussianMixture, GaussianMixtureModel, MixtureParameters
from gmm_spark.core.em.ascent import PassRecord
from gmm_spark.core.kernels.accumulators import StatisticsSums
from gmm_spark.core.kernels.distance_draw import DrawRequest
from gmm_spark.core.kernels.plan import plan_pass
from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features
from gmm_spark.spark.packing import blocks as blocks_module
from gmm_spark.spark.packing import pieces as pieces_module
from gmm_spark.spark.packing import table as packed_module
from gmm_spark.spark.packing.blocks import SOURCE, Handle, WriteBlocks, numbered, read_file
from gmm_spark.spark.packing.passes import Fold
from gmm_spark.spark.packing.pieces import PIECES, Cut, Listed
from gmm_spark.spark.packing.table import MAX_REBUILDS, PackedTable
from tests.tables import array_table, found_features, rough_start, three_blobs

Files = Callable[[], list[Path]]

ROWS = three_blobs(600)
START = rough_start(ROWS)
WEIGHT = 1.0 + np.arange(len(ROWS)) % 3
PASSES = 6


@pytest.fixture(scope="module", autouse=True)
def several_pieces() -> Iterator[None]:
    """Every file of more than one block is cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces_module, "PIECE_ROWS", 1)
        yield


@pytest.fixture
def long_table(spark: SparkSession) -> DataFrame:
    """Three partitions of several blocks of two columns, and weights."""
    wave = 1 + F.sin(F.col("id") * 0.7) + F.col("id") % 3
    return spark.range(0, 600_000, 1, 3).select(wave.alias("x"), (F.cos(wave) + 0.1 * wave).alias("y"), wave.alias("w"))


@pytest.fixture(params=["one host", "several hosts"])
def hosts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes list the files to their tasks, as on one host, or go where Spark has cached the handles."""
    if request.param == "several hosts":
        monkeypatch.setattr(PackedTable, "_on_one_host", False)


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> Iterator[DataFrame]:
    found = array_table(spark, ROWS, partitions=3, weight=WEIGHT).persist()
    yield found
    found.unpersist()


@pytest.fixture(scope="module")
def undisturbed(table: DataFrame) -> GaussianMixtureModel:
    return fit(table, lambda record: None)


def tasks_of(packed: PackedTable, products: int = 1) -> int:
    """How many tasks a pass of so many multiplications a row has."""
    source = packed._source(products)
    return (source.numbers if isinstance(source, Listed) else source).rdd.getNumPartitions()


def fit(table: DataFrame, callback: Callable[[PassRecord], None]) -> GaussianMixtureModel:
    estimator = GaussianMixture(maxIter=PASSES, tol=0.0, accelerate=False, weightCol="w").setInitialModel(START)
    return estimator.setCallback(callback).fit(table)


def assert_same_bits(left: GaussianMixtureModel, right: GaussianMixtureModel) -> None:
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert left.summary.logLikelihood == right.summary.logLikelihood
    assert [r.lower_bound for r in left.summary.history] == [r.lower_bound for r in right.summary.history]


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
    pack, packings = PackedTable._pack, []

    def pack_and_lose(self: PackedTable) -> Any:
        found = pack(self)
        packings.append(self.streaming)
        for file in set(block_files()) - before:
            file.unlink()
        return found

    monkeypatch.setattr(PackedTable, "_pack", pack_and_lose)
    with pytest.warns(RuntimeWarning, match="streaming") as caught:
        survivor = fit(table, lambda record: None)
    assert packings == [False, False, False, True]  # packed, rebuilt twice, streamed
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
    estimator = GaussianMixture(inputCols=["x", "y"], tol=0.0, accelerate=False, maxIter=3).setCallback(lose_and_change)
    with pytest.raises(DataError, match=r"100 rows.* 98 .*not deterministic.*Parquet"):
        estimator.fit(source)
    assert not set(block_files()) - before


def handle_of(path: Path, rows: int) -> Handle:
    return Handle(0, str(path), rows, 2, 2, "float64", True)


def test_a_handles_file_reads_back_as_its_blocks(tmp_path: Path) -> None:
    first, second = np.array([[1.0, 2.0], [3.0, 4.0], [0.5, 0.6]]), np.array([[5.0], [6.0], [0.7]])
    path = tmp_path / "blocks"
    path.write_bytes(first.tobytes() + second.tobytes())
    blocks = read_file(handle_of(path, 3))
    assert blocks is not None
    found = list(blocks)
    np.testing.assert_array_equal(np.hstack([rows for rows, _ in found]), [[1, 2, 5], [3, 4, 6]])
    np.testing.assert_array_equal(np.hstack([weight for _, weight in found if weight is not None]), [0.5, 0.6, 0.7])


@pytest.mark.parametrize("surplus", [-8, -1, 1, 24])
def test_a_file_of_another_size_is_a_miss(tmp_path: Path, surplus: int) -> None:
    path = tmp_path / "blocks"
    path.write_bytes(b"\0" * (3 * 24 + surplus))
    assert read_file(handle_of(path, 3)) is None


def test_a_missing_file_is_a_miss_and_no_rows_need_no_file(tmp_path: Path) -> None:
    assert read_file(handle_of(tmp_path / "none", 3)) is None
    nothing = read_file(handle_of(tmp_path / "none", 0))
    assert nothing is not None
    assert list(nothing) == []


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that numpy and Python held at most during a call."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = Features(("v",), "array", 4, False, "w")
    batch = pa.RecordBatch.from_pydict({"v": pa.array(np.ones((10_000, 4)).tolist()), "w": np.ones(10_000)})
    batch = batch.append_column(SOURCE, pa.array(np.zeros(10_000, np.int32)))
    monkeypatch.setattr(blocks_module, "_task", lambda: 0)
    monkeypatch.setattr(blocks_module, "_local_directories", lambda: [str(tmp_path)])
    plan = plan_pass([rough_start(np.random.default_rng(0).normal(size=(9, 4)))], np.zeros(4), np.ones(4))

    def pack(batches: int) -> Handle:
        (answer,) = WriteBlocks(features, "run", strict=True, by_task=False)(batch for _ in range(batches))
        return Handle.from_json(answer.column("handle")[0].as_py())

    def one_pass(handle: Handle) -> None:
        handles = pa.RecordBatch.from_pydict({"partition": [0], "handle": [handle.to_json()]})
        list(Fold(StatisticsSums(plan), 1 << 17)(iter([handles])))

    pack(2)  # what is loaded on first use is no part of either peak
    small, large = pack(20), pack(200)
    assert large.rows == 10 * small.rows
    assert peak_of(lambda: pack(200)) < 1.1 * peak_of(lambda: pack(20))
    one_pass(small)
    assert peak_of(lambda: one_pass(large)) < 1.1 * peak_of(lambda: one_pass(small))


# Streaming


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


def test_rows_stay_off_local_disks_where_spark_is_to_encrypt_them(
    table: DataFrame, undisturbed: GaussianMixtureModel, block_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = type(table.sparkSession.conf)
    get = conf.get

    def encrypted(self: Any, key: str, *default: Any) -> Any:
        return "true" if key == "spark.io.encryption.enabled" else get(self, key, *default)

    monkeypatch.setattr(conf, "get", encrypted)
    before = set(block_files())
    written: list[Path] = []
    model = fit(table, lambda record: written.extend(set(block_files()) - before))
    assert written == []
    assert_same_bits(model, undisturbed)


@pytest.mark.usefixtures("hosts")
def test_few_rows_in_many_partitions_are_few_tasks(spark: SparkSession) -> None:
    table = array_table(spark, ROWS, 12)
    with PackedTable(table, found_features(table)) as blocks:
        assert blocks.n_partitions == 12
        assert tasks_of(blocks) == blocks._cores < 12
        assert blocks.evaluate(rough_start(ROWS)).rows == len(ROWS)


# Pieces


def test_pieces_are_all_rows_of_their_file_in_order() -> None:
    handles = [Handle(p, "x", rows, 256, 2, "float64", False) for p, rows in ((0, 5000), (1, 0), (7, 256), (9, 300))]
    cut = Cut.of(handles)
    assert cut == Cut(1, 20)
    numbers: list[int] = []
    for handle in handles:
        pieces = cut.pieces(handle)
        numbers += [piece.partition for piece in pieces]
        starts = [piece.first for piece in pieces]
        assert starts == [0, *np.cumsum([piece.rows for piece in pieces])[:-1]]
        assert all(start % 256 == 0 for start in starts)
        assert sum(piece.rows for piece in pieces) == handle.rows
        assert {piece.file_bytes for piece in pieces} == {handle.rows * 16}
    assert numbers == sorted(set(numbers))


def test_a_table_is_cut_into_few_pieces_and_none_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_ROWS", 1 << 16)
    large = [Handle(p, "x", 10**8, 8192, 16, "float64", False) for p in range(3)]
    assert PIECES <= sum(len(Cut.of(large).pieces(h)) for h in large) <= PIECES + 3
    small = [Handle(p, "x", 100_000, 8192, 16, "float64", False) for p in range(3)]
    assert [piece.rows for piece in Cut.of(small).pieces(small[0])] == [1 << 16, 100_000 - (1 << 16)]
    many = [Handle(p, "x", 10**6, 8192, 16, "float64", False) for p in range(200)]
    assert Cut.of(many).most == 1


def test_one_large_partition_is_shared_out_among_all_cores(spark: SparkSession, long_table: DataFrame) -> None:
    table = long_table.coalesce(1)
    with PackedTable(table, found_features(table, input_cols=["x", "y"])) as packed:
        assert packed.n_partitions == 1
        assert packed._survey() == (packed._cores, 1)
        texts = packed._source(1).texts
        rows = [sum(Handle.from_json(line).rows for line in text.splitlines()) for text in texts]
        assert len(rows) == packed._cores > 1
        assert sum(rows) == packed.rows
        assert max(rows) - min(rows) <= packed._handles[0].block_rows
        assert tasks_of(packed, 10**9) == packed._cores * packed_module.TASKS_OF_PIECES_PER_CORE
        packed._cores = 1_000
        assert tasks_of(packed, 10**9) == len(packed._pieces)


def test_one_large_partition_is_spread_out_among_several_hosts(
    long_table: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackedTable, "_survey", lambda self: (3, 2))
    table = long_table.coalesce(1)
    with PackedTable(table, found_features(table, input_cols=["x", "y"])) as packed:
        assert packed.n_partitions == tasks_of(packed) == 3
        assert min(h.rows for h in packed._handles) > 150_000
        assert packed.evaluate(MixtureParameters([1.0], [[0.0, 0.0]], [[1.0, 1.0]], "diag")).rows == 600_000


def test_streaming_keeps_to_the_partitions_where_passes_took_several_to_a_task(
    spark: SparkSession, block_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackedTable, "_on_one_host", False)
    monkeypatch.setattr(packed_module, "MAX_REBUILDS", 0)
    table = array_table(spark, ROWS, 12)
    before = set(block_files())
    with PackedTable(table, found_features(table)) as packed:
        assert tasks_of(packed) < 12
        for file in set(block_files()) - before:
            file.unlink()
        with pytest.warns(RuntimeWarning, match="streaming"):
            assert packed.evaluate(START).rows == len(ROWS)
        assert packed.streaming
        assert packed.evaluate(START).rows == len(ROWS)


def test_answers_are_the_same_bits_wherever_the_pieces_are_read(
    long_table: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = found_features(long_table, input_cols=["x", "y"], weight_col="w")
    start = MixtureParameters([0.4, 0.6], [[1.0, 0.0], [2.0, 0.5]], [[1.0, 1.0], [2.0, 0.5]], "diag")
    draw = DrawRequest(np.zeros(2), np.ones(2), np.zeros((2, 1)), 5, 0, 40.0)
    answers = []
    for one_host, streaming in ((True, False), (False, False), (False, True)):
        if not one_host:
            monkeypatch.setattr(PackedTable, "_on_one_host", False)
        with PackedTable(long_table, features, streaming=streaming) as packed:
            assert len(packed._pieces) > 2 * packed.n_partitions
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


def test_partitions_of_no_usable_row_are_pieces_too(spark: SparkSession) -> None:
    table = spark.range(0, 90, 1, 9).select(F.when(F.col("id") % 20 < 10, F.col("id")).cast("double").alias("x"))
    features = found_features(table, input_cols=["x"])
    for streaming in (False, True):
        with PackedTable(table, features, strict=False, streaming=streaming) as packed:
            assert len(set(packed._numbers)) == packed.n_partitions == 9
            assert packed.evaluate(MixtureParameters([1.0], [[0.0]], [[1.0]], "diag")).rows == 50
            assert packed._rebuilds == 0


# Very many partitions


@pytest.fixture
def five_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores and the bound on the tasks of packing: 3 + 2."""
    monkeypatch.setattr(packed_module, "PACK_TASKS", 3)
    monkeypatch.setattr(packed_module, "PACK_TASKS_PER_CORE", 1)


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


def test_where_there_are_no_more_partitions_than_tasks_each_is_packed_by_itself(spark: SparkSession) -> None:
    table = array_table(spark, ROWS, 12)
    sizes = [row["count"] for row in table.groupBy(F.spark_partition_id().alias("p")).count().orderBy("p").collect()]
    with PackedTable(table, found_features(table)) as packed:
        assert [h.partition for h in packed._handles] == list(range(12))
        assert [h.rows for h in packed._handles] == sizes


def test_a_task_goes_by_the_partition_it_reads_not_by_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "_task", lambda: 2)
    batches = [
        pa.RecordBatch.from_pydict({"c0": np.arange(float(len(source))), SOURCE: pa.array(source, pa.int32())})
        for source in ([], [7, 7], [3])
    ]
    number, rest = numbered(iter(batches), by_task=False)
    assert number == 7
    assert [batch.to_pydict() for batch in rest] == [{"c0": [0.0, 1.0]}, {"c0": [0.0]}]
    first, nothing = numbered(iter(batches[:1]), by_task=False)
    monkeypatch.setattr(blocks_module, "_task", lambda: 3)
    assert list(nothing) == []
    assert 1 << 23 <= first != numbered(iter([]), by_task=False)[0]


@pytest.mark.usefixtures("five_tasks", "hosts")
def test_a_rebuild_that_groups_the_partitions_differently_is_no_other_table(
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
            monkeypatch.setattr(packed_module, "PACK_TASKS", tasks)
            for handle in packed._handles:
                Path(handle.path).unlink()
            assert attempt()
            assert packed.n_partitions == tasks + 2


def test_as_many_other_rows_are_refused_when_read_again(
    spark: SparkSession, tmp_path: Path, block_files: Files
) -> None:
    seed = tmp_path / "seed"
    seed.write_text("1")
    path = str(seed)

    def drawn_anew(stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in stream:
            with open(path) as file:
                yield pa.RecordBatch.from_pydict({"x": np.random.default_rng(int(file.read())).normal(1e4, 1.0, 500)})

    source = spark.range(0, 2, 1, 2).mapInArrow(drawn_anew, "x double")
    with PackedTable(source, found_features(source, input_cols=["x"])) as packed:
        Path(packed._handles[0].path).unlink()
        seed.write_text("2")
        with pytest.raises(DataError, match=r"1000 rows.* as many others .*not deterministic.*Parquet"):
            packed.sample(10, 0)


# The bounded sample


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


def test_rows_that_the_driver_holds_are_packed_under_numbers_of_their_own(spark: SparkSession) -> None:
    """Spark works out the partitions' numbers on the driver, where all rows are of one."""
    held = spark.createDataFrame(pa.table({"x": np.arange(10.0), "y": np.arange(10.0)}))
    with PackedTable(held, found_features(held, input_cols=["x", "y"])) as packed:
        assert packed.n_partitions > 1
        assert len(set(packed._numbers)) == packed.n_partitions
        rows, _ = packed.sample(100, 0)
        np.testing.assert_array_equal(np.sort(rows[0]), np.arange(10.0))
    assert packed._rebuilds == 0
