"""Tables and files of the jobs: outputs appear complete or not at all, and inputs are reported under their keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gmm_spark.errors import CompletedRunError, ConfigurationError, DataError, RunHeldError
from gmm_spark.jobs.config.jobs import FitConfiguration
from gmm_spark.jobs.config.sections import InputSection, TableOutputSection
from gmm_spark.jobs.io.table_output import require_partitioning, require_writable, write_table
from gmm_spark.jobs.io.tables import feature_parameters, read_table, require_columns, select_columns
from gmm_spark.jobs.run.report import RunReport
from gmm_spark.storage.claims import take
from gmm_spark.storage.hadoop import HadoopFiles
from gmm_spark.storage.replacing import Journal, name_workshop, plan

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


def test_appending_adds_to_the_table(spark: SparkSession, old_table: str) -> None:
    write_table(spark.range(10, 12), old_table, "append")
    assert ids(spark, old_table) == list(range(12))


def test_an_overwrite_leaves_the_partitions_that_it_does_not_write(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "table")
    rows = spark.range(10).selectExpr("id", "id % 2 AS part")
    write_table(rows, path, "error", ["part"])
    write_table(rows.selectExpr("id + 100 AS id", "part").where("part = 1"), path, "overwrite", ["part"])
    assert ids(spark, path) == [0, 2, 4, 6, 8, 101, 103, 105, 107, 109]


def test_a_reader_of_the_folder_above_sees_no_row_twice_while_a_partition_is_written(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = tmp_path / "scored"
    for day in ("2024-01-01", "2024-01-02"):
        write_table(spark.range(3), f"{scored}/dt={day}", "error")
    seen: list[tuple[int, str]] = []

    def look(*arguments: Any, **named: Any) -> Journal:
        # The new files are written, and lie beside the day.
        rows = spark.read.parquet(str(scored))
        seen.append((rows.count(), rows.schema["dt"].dataType.simpleString()))
        return plan(*arguments, **named)

    monkeypatch.setattr("gmm_spark.jobs.io.table_output.plan", look)
    write_table(spark.range(4), f"{scored}/dt=2024-01-02", "overwrite")
    assert seen == [(6, "date")]
    assert spark.read.parquet(str(scored)).count() == 7


def test_an_interruption_before_the_journal_changes_nothing_and_one_after_it_is_told(
    spark: SparkSession, old_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gmm_spark.jobs.io.table_output.plan", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_table(spark.range(3), old_table, "overwrite")
    assert ids(spark, old_table) == list(range(10))
    assert [path.name for path in Path(old_table).parent.iterdir()] == ["table"]

    with monkeypatch.context() as patch:
        patch.setattr(HadoopFiles, "move", interrupt)
        with pytest.raises(
            CompletedRunError, match=r"the new rows of .*table are written, but perhaps not all .*interru"
        ):
            write_table(spark.range(3), old_table, "overwrite")
    assert ids(spark, old_table) == list(range(10))
    claim = Path(name_workshop(old_table)) / "_claim-1.json"
    with pytest.raises(RunHeldError):
        write_table(spark.range(1), old_table, "append")
    claim.write_text(json.dumps({**json.loads(claim.read_text()), "process": "1"}))
    write_table(spark.range(20, 21), old_table, "append")  # completes the earlier one first
    assert ids(spark, old_table) == [0, 1, 2, 20]
    assert [path.name for path in Path(old_table).parent.iterdir()] == ["table"]


def test_rows_that_another_process_took_over_are_not_put_in_place(
    spark: SparkSession, old_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = name_workshop(old_table)

    def lose(*arguments: Any, **named: Any) -> Journal:
        claim = Path(workshop) / "_claim-1.json"
        claim.write_text(json.dumps({**json.loads(claim.read_text()), "process": "1"}))
        take(HadoopFiles(spark), workshop, "score")
        return plan(*arguments, **named)

    monkeypatch.setattr("gmm_spark.jobs.io.table_output.plan", lose)
    with pytest.raises(RunHeldError, match="was taken over by another process"):
        write_table(spark.range(3), old_table, "overwrite")
    assert ids(spark, old_table) == list(range(10))


@pytest.mark.parametrize("taken", ["table", "runs", "model", "csv", "file"])
def test_an_output_that_must_not_be_written_is_refused_before_any_work(
    spark: SparkSession, old_table: str, tmp_path: Path, taken: str
) -> None:
    place = tmp_path / taken
    if taken == "runs":
        take(HadoopFiles(spark), str(place / "run_id=a"), "fit")
    elif taken == "model":
        (place / "metadata").mkdir(parents=True)
    elif taken == "csv":
        place.mkdir()
        (place / "rows.csv").write_text("1")
    elif taken == "file":
        place.write_text("")
    with pytest.raises(ConfigurationError, match=r"output\.path: got"):
        require_writable(spark, TableOutputSection(path=str(place)))
    for mode in ("overwrite", "append"):
        if taken == "table":
            require_writable(spark, TableOutputSection(path=old_table, mode=mode))
        else:
            with pytest.raises(ConfigurationError, match=r"output\.path: got"):
                require_writable(spark, TableOutputSection(path=str(place), mode=mode))
    require_writable(spark, TableOutputSection(path=str(tmp_path / "new")))


@pytest.mark.parametrize(("source", "output"), [("table", "table"), ("table", "table/x=1"), ("table/x=1", "table")])
def test_a_job_does_not_write_over_its_own_input(spark: SparkSession, tmp_path: Path, source: str, output: str) -> None:
    section = TableOutputSection(path=str(tmp_path / output), mode="overwrite")
    with pytest.raises(ConfigurationError, match=r"which is or lies in"):
        require_writable(spark, section, f"file:{tmp_path}/{source}/")


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
        ({"path": "{old}", "format": "no_such_format"}, ConfigurationError, "cannot be read as no_such_format"),
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
