"""Rows read straight from Parquet: to the bit what Spark reads, and left to Spark wherever that is not certain."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from gmm_spark.errors import DataError
from gmm_spark.spark.columns import Features
from gmm_spark.spark.packing.parquet_scan import ParquetScan, Range
from gmm_spark.spark.packing.table import PackedTable
from tests.spark.packing.roads import (
    HOLES,
    NUMBERS,
    RNG,
    ROWS,
    assert_same_rows,
    column,
    features_of,
    pack,
    read_back,
)


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


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"a": pa.array([1, 2], pa.int32()), "b": pa.array([1.0, 2.0])}, "'a' as int32, and the table as double"),
        ({"b": pa.array([1.0, 2.0])}, "has no column 'a'"),
    ],
    ids=["another type", "missing"],
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


def scan_of(path: Path) -> ParquetScan:
    """Three row groups of a file, without Spark."""
    pq.write_table(pa.table({"a": NUMBERS["double"][:60]}), path, row_group_size=20)
    status = path.stat()
    part = Range(str(path), 0, status.st_size, status.st_size, status.st_mtime_ns // 1_000_000)
    features = Features(("a",), "scalars", 1, False)
    return ParquetScan(((part,),), ("a",), (pa.float64(),), features, str.lower)


def read_scan(scan: ParquetScan, faults: list[str]) -> Iterator[pa.RecordBatch]:
    return scan.read(iter([pa.RecordBatch.from_pydict({"id": [0]})]), "source", faults)


def test_a_file_that_changes_while_it_is_read_is_a_fault(tmp_path: Path) -> None:
    scan = scan_of(tmp_path / "t.parquet")
    faults: list[str] = []
    assert sum(batch.num_rows for batch in read_scan(scan, faults)) == 60
    assert not faults
    batches = read_scan(scan, faults)
    next(batches)
    os.utime(tmp_path / "t.parquet", (1, 1))
    list(batches)
    assert "has changed since Spark listed it" in faults[0]


def test_a_worker_whose_pyarrow_reads_no_parquet_leaves_it_to_spark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.delattr(pa, "parquet")
    scan = scan_of(tmp_path / "t.parquet")
    faults: list[str] = []
    assert not list(read_scan(scan, faults))
    assert "pyarrow.parquet" in faults[0]


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
