"""Outputs appear complete or not at all, and what they replace is readable until then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.jobs.config.jobs import FitConfiguration
from gmm_spark.jobs.config.sections import InputSection
from gmm_spark.jobs.io.publishing import publish, require_publishable
from gmm_spark.jobs.io.tables import (
    feature_parameters,
    read_table,
    require_columns,
    require_partitioning,
    select_columns,
    write_table,
)
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.storage.hadoop import HadoopFiles

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture
def old_table(spark: SparkSession, tmp_path: Path) -> str:
    path = str(tmp_path / "table")
    spark.range(10).write.parquet(path)
    return path


def ids(spark: SparkSession, path: str) -> list[int]:
    return sorted(row.id for row in spark.read.parquet(path).collect())


def failing(spark: SparkSession) -> DataFrame:
    """Rows of which the last cannot be computed, so that the write fails half-way."""
    return spark.range(100, 120, numPartitions=4).selectExpr("id", "assert_true(id < 119) AS checked")


@pytest.mark.parametrize("suffix", ["", "/"])
def test_overwriting_replaces_the_table_and_leaves_nothing_beside_it(
    spark: SparkSession, old_table: str, suffix: str
) -> None:
    write_table(spark.range(3), old_table + suffix, "overwrite")
    assert ids(spark, old_table) == [0, 1, 2]
    assert [path.name for path in Path(old_table).parent.iterdir()] == ["table"]


def test_a_failed_overwrite_leaves_the_old_table_and_nothing_beside_it(spark: SparkSession, old_table: str) -> None:
    with pytest.raises(Exception, match=r"USER_RAISED_EXCEPTION|is not true"):
        write_table(failing(spark), old_table, "overwrite")
    assert ids(spark, old_table) == list(range(10))
    assert [path.name for path in Path(old_table).parent.iterdir()] == ["table"]


def test_a_failed_first_write_leaves_nothing(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"USER_RAISED_EXCEPTION|is not true"):
        write_table(failing(spark), str(tmp_path / "new"), "error")
    assert list(tmp_path.iterdir()) == []


def test_a_table_can_be_written_over_itself(spark: SparkSession, old_table: str) -> None:
    write_table(spark.read.parquet(old_table).where("id > 6"), old_table, "overwrite")
    assert ids(spark, old_table) == [7, 8, 9]


def test_appending_adds_to_the_table(spark: SparkSession, old_table: str) -> None:
    write_table(spark.range(10, 12), old_table, "append")
    assert ids(spark, old_table) == list(range(12))


def test_an_overwrite_removes_partitions_that_it_does_not_write(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    rows = spark.range(10).selectExpr("id", "id % 2 AS part")
    write_table(rows, path, "error", ["part"])
    assert {one.name for one in Path(path).glob("part=*")} == {"part=0", "part=1"}
    write_table(rows.where("part = 1"), path, "overwrite", ["part"])
    assert ids(spark, path) == [1, 3, 5, 7, 9]


def test_a_swap_that_fails_half_way_restores_the_old_table(
    spark: SparkSession, old_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = HadoopFiles.rename

    def refusing(self: HadoopFiles, source: str, target: str) -> None:
        if ".staging-" in source:
            raise OSError("the store went away")
        rename(self, source, target)

    monkeypatch.setattr(HadoopFiles, "rename", refusing)
    with pytest.raises(OSError, match="the store went away"):
        write_table(spark.range(3), old_table, "overwrite")
    assert ids(spark, old_table) == list(range(10))
    assert [path.name for path in Path(old_table).parent.iterdir()] == ["table"]


def test_an_interrupted_block_publishes_nothing(spark: SparkSession, old_table: str) -> None:
    def interrupted() -> None:
        with publish(spark, old_table) as staging:
            spark.range(1).write.parquet(staging)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ids(spark, old_table) == list(range(10))
    assert [path.name for path in Path(old_table).parent.iterdir()] == ["table"]


def test_a_target_that_appears_meanwhile_is_not_moved_into(spark: SparkSession, tmp_path: Path) -> None:
    files = HadoopFiles(spark)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(OSError, match="could not move"):
        files.rename(str(tmp_path / "a"), str(tmp_path / "b"))
    assert list((tmp_path / "b").iterdir()) == []


def test_an_existing_target_is_refused_before_any_work(spark: SparkSession, old_table: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"output\.path: got .* there already; set mode or name another path"):
        require_publishable(spark, "output.path", old_table, overwrite=False, remedy="mode")
    require_publishable(spark, "output.path", old_table, overwrite=True, remedy="mode")
    require_publishable(spark, "output.path", str(tmp_path / "new"), overwrite=False, remedy="mode")


def test_text_files_are_replaced_whole_and_read_back(spark: SparkSession, tmp_path: Path) -> None:
    files, path = HadoopFiles(spark), tmp_path / "a directory" / "réport%20.json"
    for text in ("first", "größer als ∅"):
        files.write_bytes(str(path), text.encode())
        assert files.read_text(str(path)) == path.read_text(encoding="utf-8") == text
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    with pytest.raises(DataError, match="no such file"):
        files.read_text(str(path.parent))


def test_a_report_is_strict_json_without_secrets(spark: SparkSession, tmp_path: Path) -> None:
    configuration = FitConfiguration.model_validate(
        {
            "input": {"path": "in", "options": {"password": "hunter2"}},
            "features": {"columns": ["x"]},
            "output": {"model": "out"},
        }
    )
    report = RunReport(configuration)
    with report.timed("fit"):
        report.add("fit", change=float("nan"), weights=(0.5, float("inf")))
    report.write(spark, str(tmp_path / "report.json"))
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    facts = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert "hunter2" not in text
    assert facts["fit"] == {"change": None, "weights": [0.5, None]}
    assert facts["configuration"]["input"]["options"] == {"password": "**********"}
    assert facts["seconds"].keys() == {"fit", "total"}
    assert facts["versions"].keys() >= {"python", "pyspark", "gmm-spark"}


def test_reading_applies_the_condition(spark: SparkSession, old_table: str) -> None:
    assert read_table(spark, InputSection(path=old_table, where="id < 4")).count() == 4


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({"path": "/no/such/place"}, DataError, r"input\.path: got '/no/such/place', which cannot be read as parquet"),
        ({"table": "no_such_table"}, DataError, r"input\.table: got 'no_such_table'"),
        ({"path": "{old}", "where": "nothing > 1"}, DataError, r"input\.where: .* columns \(id\) do not allow"),
        ({"path": "{old}", "where": "id >"}, ConfigurationError, r"input\.where: .* needs a Spark SQL condition"),
        ({"path": "{old}", "format": "no_such_format"}, DataError, "cannot be read as no_such_format"),
    ],
)
def test_what_cannot_be_read_is_reported_under_its_key(
    spark: SparkSession, old_table: str, source: dict[str, str], error: type[Exception], message: str
) -> None:
    named = {key: old_table if value == "{old}" else value for key, value in source.items()}
    with pytest.raises(error, match=message):
        read_table(spark, InputSection.model_validate(named))


def test_columns_are_matched_as_spark_does_and_missing_ones_are_reported(spark: SparkSession) -> None:
    rows = spark.range(1).selectExpr("id AS Delay", "array(1.0D) AS v")
    require_columns(rows, "output.columns", ["*", "delay"])
    with pytest.raises(DataError, match=r"features\.columns: got x, y, which the table lacks; it has Delay, v"):
        feature_parameters(rows, ["delay", "x", "y"])
    assert feature_parameters(rows, ["delay"]) == {"inputCols": ["delay"]}
    assert feature_parameters(rows, ["v"]) == {"featuresCol": "v"}


def test_names_with_dots_are_columns_not_fields(spark: SparkSession) -> None:
    rows = spark.range(1).selectExpr("id AS `a.b`", "id AS c", "id AS p")
    assert select_columns(rows, ["a.b"], ["p"]).columns == ["a.b", "p"]
    assert select_columns(rows, ["*"], ["p"]).columns == ["a.b", "c", "p"]


@pytest.mark.parametrize("names", [["x"], ["id"]])
def test_partitioning_by_what_is_not_written_or_by_everything_is_refused(spark: SparkSession, names: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"output\.partition_by"):
        require_partitioning(spark.range(1), names)
