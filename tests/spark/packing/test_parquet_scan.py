"""Rows read straight from Parquet: to the bit what Spark reads, and left to Spark wherever that is not certain."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features, resolve_features
from gmm_spark.spark.packing import parquet_plan
from gmm_spark.spark.packing.packer import Packer
from gmm_spark.spark.packing.parquet_plan import find_scan
from gmm_spark.spark.packing.parquet_scan import NotPlainError
from gmm_spark.spark.packing.table import PackedTable

ROWS = 4_000
RNG = np.random.default_rng(20)
NUMBERS: dict[str, NDArray[Any]] = {
    "double": RNG.normal(size=ROWS),
    "float": RNG.normal(size=ROWS).astype(np.float32),
    "byte": RNG.integers(-128, 128, ROWS).astype(np.int8),
    "short": RNG.integers(-1000, 1000, ROWS).astype(np.int16),
    "int": RNG.integers(-(2**31), 2**31, ROWS).astype(np.int32),
    "long": RNG.integers(-(2**62), 2**62, ROWS),
    "few": RNG.integers(0, 5, ROWS).astype(float),
}
HOLES = RNG.random(ROWS) < 0.1


def column(name: str, nulls: bool) -> pa.Array:
    return pa.array(NUMBERS[name], mask=HOLES if nulls else None)


def features_of(table: DataFrame, *columns: str, weight: str | None = None) -> Features:
    scalars = isinstance(table.schema[columns[0]].dataType, T.NumericType)
    found = resolve_features(table, columns[0], list(columns) if scalars else None, weight, None)
    assert found is not None
    return found


def pack(table: DataFrame, features: Features, packing: str, streaming: bool = False) -> tuple[Any, ...]:
    """Everything that a fit could see of a packed table, and what read it."""
    with PackedTable(table, features, strict=False, packing=packing, streaming=streaming) as packed:
        handles = [
            (h.partition, h.rows, h.bad, h.rounded, h.checksum, h.dtype, h.weighted)
            for h in packed.blocks.packing.handles
        ]
        rows, weights = packed.sample(1_000, seed=3)
        seen = (handles, packed.moments.vector().tobytes(), packed.bad, packed.rounded, rows.tobytes())
        return *seen, None if weights is None else weights.tobytes(), packed.blocks.record.read_by


def assert_same_rows(table: DataFrame, *columns: str, weight: str | None = None, streaming: bool = False) -> None:
    features = features_of(table, *columns, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"column\(s\) 'long'|overflow|invalid value")  # what both roads tell alike
        *direct, read_by = pack(table, features, "parquet", streaming)
        *by_spark, read_by_spark = pack(table, features, "spark", streaming)
    assert (read_by, read_by_spark) == ("parquet", "spark")
    assert direct == by_spark


def read_back(spark: SparkSession, path: Path, table: pa.Table, **options: Any) -> DataFrame:
    path.mkdir(exist_ok=True)
    pq.write_table(table, path / f"part-{len(list(path.iterdir())):05d}.parquet", **options)
    return spark.read.parquet(str(path))


@pytest.fixture
def small_splits(spark: SparkSession) -> Iterator[None]:
    """Spark cuts files into several ranges, which need not begin where row groups do."""
    key = "spark.sql.files.maxPartitionBytes"
    before = spark.conf.get(key)
    spark.conf.set(key, "20000")
    yield
    spark.conf.set(key, before)


@pytest.mark.usefixtures("small_splits")
@pytest.mark.parametrize("nulls", [False, True], ids=["whole", "nulls"])
@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": True, "row_group_size": 700},
        {"use_dictionary": False, "data_page_version": "2.0", "compression": "zstd", "row_group_size": 1_300},
        {"use_dictionary": False, "compression": "none", "row_group_size": 10_000},
    ],
    ids=["dictionary", "v2-pages", "one-group"],
)
def test_numbers_of_every_type_are_what_spark_reads(
    spark: SparkSession, tmp_path: Path, nulls: bool, options: dict[str, Any]
) -> None:
    written = pa.table({name: column(name, nulls) for name in NUMBERS})
    table = read_back(spark, tmp_path / "t", written, **options)
    table = read_back(spark, tmp_path / "t", written.slice(0, 1_700), **options)
    assert_same_rows(table, *NUMBERS)
    assert_same_rows(table, "float")  # blocks of float32
    assert_same_rows(table.withColumnRenamed("int", "renamed").select("renamed", "few"), "renamed", "few")


@pytest.mark.parametrize("streaming", [False, True], ids=["files", "streamed"])
def test_weights_nan_and_infinity_are_what_spark_reads(spark: SparkSession, tmp_path: Path, streaming: bool) -> None:
    values = NUMBERS["double"].copy()
    values[:9] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, 5e-324, np.nan, 1.0]
    weights = RNG.integers(0, 4, ROWS)
    written = pa.table({"a": values, "b": column("few", nulls=True), "w": pa.array(weights, mask=HOLES[::-1])})
    table = read_back(spark, tmp_path / "t", written, row_group_size=999)
    assert_same_rows(table, "a", "b", weight="w", streaming=streaming)


@pytest.mark.parametrize("element", [pa.float64(), pa.float32(), pa.int32()], ids=str)
def test_arrays_are_what_spark_reads(spark: SparkSession, tmp_path: Path, element: pa.DataType) -> None:
    lists: list[Any] = RNG.integers(0, 9, (ROWS, 3)).tolist()
    lists[5:9] = [None, [1, None, 2], [1, 2], []]
    table = read_back(spark, tmp_path / "t", pa.table({"v": pa.array(lists, pa.list_(element))}), row_group_size=999)
    assert_same_rows(table, "v")


def test_vectors_are_what_spark_reads(spark: SparkSession, tmp_path: Path) -> None:
    vectors = [Vectors.dense(row) for row in RNG.normal(size=(50, 3)).tolist()]
    rows = [*vectors, Vectors.sparse(3, [1], [2.0]), None, Vectors.dense([1.0]), Vectors.sparse(3, [], [])]
    schema = T.StructType([T.StructField("v", VectorUDT())])
    spark.createDataFrame([(row,) for row in rows], schema).write.parquet(str(tmp_path / "t"))
    assert_same_rows(spark.read.parquet(str(tmp_path / "t")), "v")


def test_hostile_names_and_partitioned_directories_are_what_spark_reads(spark: SparkSession, tmp_path: Path) -> None:
    names = ["a.b", "a", "`q`", "ünï code", "x[0]"]
    written = pa.table({name: NUMBERS["double"] * (i + 1) for i, name in enumerate(names)})
    for day in ("2024-01-01", "a b%20c#d?", "é"):
        directory = tmp_path / "t ä" / f"day={day.replace('%', '%25').replace('#', '%23').replace('?', '%3F')}"
        directory.mkdir(parents=True)
        pq.write_table(written, directory / "p 1%.parquet")
    assert_same_rows(spark.read.parquet(str(tmp_path / "t ä")), *names)


def test_a_file_without_rows_and_one_without_row_groups_add_none(spark: SparkSession, tmp_path: Path) -> None:
    empty = pa.table({"a": pa.array([], pa.float64())})
    read_back(spark, tmp_path / "t", empty)
    pq.ParquetWriter(tmp_path / "t" / "part-none.parquet", empty.schema).close()
    table = read_back(spark, tmp_path / "t", pa.table({"a": NUMBERS["double"]}))
    assert_same_rows(table, "a")


def test_fits_by_both_roads_are_one_to_the_bit(spark: SparkSession, tmp_path: Path) -> None:
    from gmm_spark import GaussianMixture

    table = read_back(spark, tmp_path / "t", pa.table({n: NUMBERS[n] for n in ("double", "few")}), row_group_size=999)
    models = [
        GaussianMixture(inputCols=["double", "few"], k=2, maxIter=3, seed=1, packing=packing).fit(table)
        for packing in ("auto", "spark")
    ]
    assert [model.summary.packing.read_by for model in models] == ["parquet", "spark"]
    first, second = (model.parameters for model in models)
    assert np.array_equal(first.means, second.means)
    assert np.array_equal(first.covariances, second.covariances)
    assert models[0].summary.logLikelihood == models[1].summary.logLikelihood


# Left to Spark


@pytest.fixture(scope="module")
def plain(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    path = tmp_path_factory.mktemp("plain")
    table = pa.table(NUMBERS | {"money": pa.array([Decimal("1.25")] * ROWS, pa.decimal128(9, 2))})
    for day in (1, 2):
        (path / f"day={day}").mkdir()
        pq.write_table(table, path / f"day={day}" / "part.parquet")
    return spark.read.parquet(str(path))


@pytest.mark.parametrize(
    ("change", "columns", "reason"),
    [
        (lambda t: t.where("few > 1"), ["few"], "it has a Filter"),
        (lambda t: t.where("day = 1"), ["few"], "it has a Filter|only a part"),
        (lambda t: t.limit(100), ["few"], "Limit"),
        (lambda t: t.sample(0.5, seed=1), ["few"], "Sample"),
        (lambda t: t.union(t), ["few"], "Union"),
        (lambda t: t.repartition(3), ["few"], "Repartition"),
        (lambda t: t.orderBy("few"), ["few"], "Sort"),
        (lambda t: t.join(t.select("byte").distinct(), "byte"), ["few"], "Join"),
        (lambda t: t.withColumn("few", F.col("few") + 1), ["few", "int"], "'few' is computed"),
        (lambda t: t.withColumn("few", F.col("int").cast("double")), ["few", "int"], "'few' is computed"),
        (lambda t: t, ["few", "day"], "'day' is a partition column"),
        (lambda t: t, ["money"], "'money' is decimal"),
        (lambda t: t.sparkSession.range(9).select(F.col("id").alias("few")), ["few"], "it has a Range"),
    ],
)
def test_a_table_that_is_no_plain_scan_is_left_to_spark(
    plain: DataFrame, change: Callable[[DataFrame], DataFrame], columns: list[str], reason: str
) -> None:
    table = change(plain)
    features = features_of(table, *columns)
    with pytest.raises(NotPlainError, match=reason):
        find_scan(table, features, features.select(table))
    with pytest.raises(DataError, match=f"packing='parquet', but .*({reason}).*; write the table to Parquet"):
        Packer(table, features, strict=False, packing="parquet")
    with PackedTable(table, features, strict=False) as packed:
        assert packed.blocks.record.read_by == "spark"
        assert packed.rows == table.count()


def test_a_cached_table_is_left_to_spark(plain: DataFrame) -> None:
    cached = plain.select("few").cache()
    try:
        with pytest.raises(NotPlainError, match="InMemoryRelation"):
            find_scan(cached, features_of(cached, "few"), cached)
    finally:
        cached.unpersist(blocking=True)


@pytest.mark.parametrize("key", parquet_plan._TOLERANT)
def test_files_that_spark_may_pass_over_are_left_to_spark(spark: SparkSession, plain: DataFrame, key: str) -> None:
    spark.conf.set(key, "true")
    try:
        with pytest.raises(NotPlainError, match=key):
            find_scan(plain, features_of(plain, "few"), plain)
    finally:
        spark.conf.unset(key)


def test_another_format_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(9).write.orc(str(tmp_path / "t"))
    table = spark.read.orc(str(tmp_path / "t"))
    with pytest.raises(NotPlainError, match="format ORC, not plain Parquet"):
        find_scan(table, features_of(table, "id"), table)


def test_too_many_files_are_left_to_spark(plain: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_plan, "MOST_RANGES", 1)
    with pytest.raises(NotPlainError, match="more than 1 files"):
        find_scan(plain, features_of(plain, "few"), plain)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"a": pa.array([1, 2], pa.int32()), "b": pa.array([1.0, 2.0])}, "'a' as int32, and the table as double"),
        ({"b": pa.array([1.0, 2.0])}, "has not one column 'a'"),
        ({"A": pa.array([1.0, 2.0]), "b": pa.array([1.0, 2.0])}, "has not one column 'a'"),
    ],
    ids=["another type", "missing", "another case"],
)
def test_a_file_with_other_columns_leaves_the_table_to_spark(
    spark: SparkSession, tmp_path: Path, other: dict[str, pa.Array], reason: str
) -> None:
    read_back(spark, tmp_path / "t", pa.table({"a": NUMBERS["double"], "b": NUMBERS["double"]}))
    read_back(spark, tmp_path / "t", pa.table(other))
    table = spark.read.schema("a double, b double").parquet(str(tmp_path / "t"))
    features = features_of(table, "a", "b")
    with pytest.raises(DataError, match=f"must be read by Spark: .*{reason}"):
        pack(table, features, "parquet")
    assert pack(table, features, "auto")[:-1] == pack(table, features, "spark")[:-1]


def test_a_file_that_changed_since_it_was_listed_leaves_the_table_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    table = read_back(spark, tmp_path / "t", pa.table({"a": NUMBERS["double"]}))
    features = features_of(table, "a")
    (file,) = (tmp_path / "t").glob("*.parquet")
    os.utime(file, (1, 1))
    with PackedTable(table, features) as packed:
        assert packed.blocks.record.read_by == "spark"
        assert "has changed since Spark listed it" in packed.blocks.record.reason
        assert packed.rows == ROWS


@pytest.mark.parametrize("damage", ["removed", "cut", "bit"])
def test_a_damaged_file_gives_no_wrong_rows(spark: SparkSession, tmp_path: Path, damage: str) -> None:
    """Spark reads it then, and says what it finds; a changed page is found out by its checksum."""
    table = read_back(
        spark, tmp_path / "t", pa.table({"a": NUMBERS["double"]}), write_page_checksum=True, compression="none"
    )
    features = features_of(table, "a")
    (file,) = (tmp_path / "t").glob("*.parquet")
    status = file.stat()
    data = bytearray(file.read_bytes())
    if damage == "removed":
        file.unlink()
    else:
        data[5_000] ^= 1
        file.write_bytes(data[:9_000] if damage == "cut" else data)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DataError, match=r"cannot be read here|has changed since"):
        pack(table, features, "parquet")


def test_a_lost_block_is_read_again_from_the_same_files(spark: SparkSession, tmp_path: Path) -> None:
    table = read_back(spark, tmp_path / "t", pa.table({"a": NUMBERS["double"]}), row_group_size=999)
    with PackedTable(table, features_of(table, "a")) as packed:
        before = packed.sample(100, seed=1)[0]
        for handle in packed.blocks.packing.handles:
            Path(handle.path).unlink()
        assert np.array_equal(packed.sample(100, seed=1)[0], before)
        record = packed.blocks.record
        assert (record.misses, record.packings, record.read_by) == (1, 2, "parquet")


def test_a_table_that_changed_before_a_lost_block_is_read_again_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    table = read_back(spark, tmp_path / "t", pa.table({"a": NUMBERS["double"]}))
    (file,) = (tmp_path / "t").glob("*.parquet")
    with PackedTable(table, features_of(table, "a")) as packed:
        for handle in packed.blocks.packing.handles:
            Path(handle.path).unlink()
        pq.write_table(pa.table({"a": NUMBERS["double"] + 1}), file)
        with pytest.raises(Exception, match=r"changing, or not deterministic|FILE_NOT_EXIST|ChecksumException"):
            packed.sample(100, seed=1)
