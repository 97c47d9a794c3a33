"""What Spark alone may read: whatever is no plain scan, or follows rules of Spark that a scan does not."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from gmm_spark.errors import DataError
from gmm_spark.spark.packing import parquet_plan
from gmm_spark.spark.packing.packer import Packer
from gmm_spark.spark.packing.parquet_plan import find_scan
from gmm_spark.spark.packing.parquet_scan import NotPlainError
from gmm_spark.spark.packing.table import PackedTable
from tests.spark.packing.roads import NUMBERS, ROWS, assert_same_rows, features_of, pack, read_back


def assert_left_to_spark(table: DataFrame, *columns: str, reason: str) -> None:
    """Whether the driver finds it out, or a task: the rows are Spark's."""
    features = features_of(table, *columns)
    with pytest.raises(DataError, match=f"must be read by Spark: .*{reason}"):
        pack(table, features, "parquet")
    assert pack(table, features, "auto")[:-1] == pack(table, features, "spark")[:-1]


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
        (lambda t: t.where("day = 1"), ["few"], "it has a Filter"),
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


@pytest.mark.parametrize("key", parquet_plan._UNLIKE)
def test_settings_that_change_what_spark_reads_leave_it_to_spark(
    spark: SparkSession, plain: DataFrame, key: str
) -> None:
    few = features_of(plain, "few")
    spark.conf.set(key, "true")
    try:
        with pytest.raises(NotPlainError, match=key):
            find_scan(plain, few, few.select(plain))
    finally:
        spark.conf.unset(key)


def test_another_format_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(9).write.orc(str(tmp_path / "t"))
    table = spark.read.orc(str(tmp_path / "t"))
    with pytest.raises(NotPlainError, match="format ORC, not plain Parquet"):
        find_scan(table, features_of(table, "id"), table)


def test_too_many_files_are_left_to_spark(plain: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    few = features_of(plain, "few")
    monkeypatch.setattr(parquet_plan, "MOST_RANGES", 1)
    with pytest.raises(NotPlainError, match="more than 1 files"):
        find_scan(plain, few, few.select(plain))


def test_a_file_that_is_named_twice_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    read_back(spark, tmp_path / "t", pa.table({"a": NUMBERS["double"]}))
    (file,) = map(str, (tmp_path / "t").glob("*"))
    assert_left_to_spark(spark.read.parquet(file, file), "a", reason="just once")


def test_names_are_those_of_the_files_whatever_their_case(spark: SparkSession, tmp_path: Path) -> None:
    written = pa.table({"Aa": NUMBERS["double"], "b": NUMBERS["few"], "B b": NUMBERS["int"]})
    table = read_back(spark, tmp_path / "t", written)
    assert_same_rows(table, "aA", "B")
    assert_same_rows(table.select("AA", F.col("b b").alias("b"), F.col("B").alias("c")), "aa", "C", "B")
    assert_same_rows(spark.read.schema("AA double, B double").parquet(str(tmp_path / "t")), "AA", "b")


def test_names_that_differ_only_by_case_are_what_spark_takes_them_for(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": NUMBERS["double"], "A": NUMBERS["few"]}), tmp_path / "t")
    either = spark.read.schema("a double").parquet(str(tmp_path / "t"))
    with pytest.raises(DataError, match="has 2 columns 'a'"):  # nor does Spark say which it would be
        pack(either, features_of(either, "a"), "parquet")
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        assert_same_rows(spark.read.parquet(str(tmp_path / "t")), "A", "a")
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


def test_a_partition_column_hides_the_files_own_whatever_their_case(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    read_back(spark, tmp_path / "t" / "day=1", pa.table({"DAY": NUMBERS["int"], "b": NUMBERS["few"]}))
    table = spark.read.parquet(str(tmp_path / "t"))
    assert_left_to_spark(table, "DAY", "b", reason="'DAY' is a partition column")


def test_columns_that_spark_finds_by_their_field_ids_are_left_to_it(spark: SparkSession, tmp_path: Path) -> None:
    fields = [pa.field(name, pa.float64(), metadata={"PARQUET:field_id": number}) for name, number in ("x2", "y1")]
    read_back(spark, tmp_path / "t", pa.table([NUMBERS["double"], NUMBERS["few"]], schema=pa.schema(fields)))
    numbered = [T.StructField(n, T.DoubleType(), metadata={"parquet.field.id": i}) for n, i in (("x", 1), ("y", 2))]
    table = spark.read.schema(T.StructType(numbered)).parquet(str(tmp_path / "t"))
    assert_same_rows(table, "x", "y")
    spark.conf.set("spark.sql.parquet.fieldId.read.enabled", "true")
    try:
        assert_left_to_spark(table, "x", "y", reason="fieldId")
    finally:
        spark.conf.unset("spark.sql.parquet.fieldId.read.enabled")


def test_files_that_spark_may_pass_over_by_an_option_are_left_to_it(spark: SparkSession, tmp_path: Path) -> None:
    """Spark passes over a file whose checksum beside it is another's; pyarrow would read it."""
    spark.createDataFrame([(float(i),) for i in range(200)], "a double").repartition(2).write.parquet(f"{tmp_path}/t")
    checksum = next((tmp_path / "t").glob(".part*.crc"))
    checksum.write_bytes(checksum.read_bytes()[:-1] + b"?")
    table = spark.read.schema("a double").option("IGNORECORRUPTFILES", "true").parquet(f"{tmp_path}/t")
    assert_left_to_spark(table, "a", reason="option ignoreCorruptFiles")
    assert pack(table, features_of(table, "a"), "auto")[0][0][1] < 200


def test_a_file_with_encrypted_columns_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    """Asked for an encrypted column's size, pyarrow would end the worker."""
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class NoKeys(encryption.KmsClient):  # type: ignore[misc, name-defined]
        def wrap_key(self, key: bytes, master: str) -> bytes:
            return base64.b64encode(key)

    config = encryption.EncryptionConfiguration("footer", column_keys={"b": ["b"]}, plaintext_footer=True)
    keys = encryption.CryptoFactory(lambda _: NoKeys()).file_encryption_properties(
        encryption.KmsConnectionConfig(), config
    )
    written = pa.table({"a": NUMBERS["double"], "b": NUMBERS["few"]})
    table = read_back(spark, tmp_path / "t", written, encryption_properties=keys)
    assert_left_to_spark(table, "a", reason="columns may be encrypted")


def test_what_a_task_finds_out_is_logged_as_a_warning(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The table is read once more then, which a job that runs daily can be spared."""
    table = read_back(spark, tmp_path / "t", pa.table({"a": NUMBERS["double"]}))
    (file,) = (tmp_path / "t").glob("*")
    os.utime(file, (1, 1))
    with caplog.at_level(logging.WARNING), PackedTable(table, features_of(table, "a")) as packed:
        assert packed.rows == ROWS
    assert "has changed since Spark listed it" in caplog.text


def test_a_table_of_another_session_is_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    """Some of Spark's settings are those of the session that reads, and some of the one that made the table."""
    table = read_back(spark, tmp_path / "t", pa.table({"a": NUMBERS["double"]}))
    table.createGlobalTempView("of_another_session")
    try:
        assert_left_to_spark(spark.newSession().table("global_temp.of_another_session"), "a", reason="another session")
    finally:
        spark.catalog.dropGlobalTempView("of_another_session")


def test_a_wide_table_costs_the_driver_a_call_a_column(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"c{i}" for i in range(200)]
    table = read_back(spark, tmp_path / "t", pa.table({name: [1.0, 2.0] for name in names}))
    features = features_of(table, *names)
    selected = features.select(table)
    jvm = spark.sparkContext._gateway._gateway_client
    calls: list[str] = []

    def send_counted(command: str, *told: Any, send: Callable[..., str] = jvm.send_command, **how: Any) -> str:
        if not command.startswith("m\n"):  # the garbage collector's
            calls.append(command)
        return send(command, *told, **how)

    monkeypatch.setattr(jvm, "send_command", send_counted)
    assert len(find_scan(table, features, selected).columns) == 200
    assert 200 < len(calls) < 400
