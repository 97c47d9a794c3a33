"""score and sample into tables of a catalog: of Spark's own, and of one that commits by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixtureModel
from gmm_spark.core.mixture.parameters import MixtureParameters
from gmm_spark.storage.hadoop import HadoopFiles
from tests.jobs.conftest import N_ROWS, Outcome

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def model(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was not fitted: a fit for each test would take most of the time."""
    path = tmp_path_factory.mktemp("model") / "model"
    parameters = MixtureParameters([0.5, 0.5], [[0.0, 0.0], [6.0, 3.0]], [1.0, 1.0], "spherical")
    model = GaussianMixtureModel(parameters, ["x", "y"])
    model.setInputCols(["x", "y"]).save(str(path))
    return path


@pytest.fixture
def schema(spark: SparkSession) -> Iterator[str]:
    spark.sql("CREATE DATABASE shop")
    yield "shop"
    spark.sql("DROP DATABASE shop CASCADE")


@pytest.fixture
def score(run_job: Run, model: Path, table: Path) -> Callable[..., Outcome]:
    def run(target: str, *arguments: object) -> Outcome:
        given = ("--model", model, "--input.path", table, "--features.handle_invalid", "keep")
        return run_job("score", *given, "--output.table", target, *arguments)

    return run


def count_days(spark: SparkSession, name: str) -> dict[str, int]:
    return {row["day"]: row["count"] for row in spark.table(name).groupBy("day").count().collect()}


def locate(spark: SparkSession, name: str) -> Path:
    location = spark.sql(f"DESCRIBE TABLE EXTENDED {name}").where("col_name = 'Location'").first()[1]
    return Path(location.removeprefix("file:"))


def refuse(done: Outcome, message: str, code: int = 2) -> None:
    assert done.code == code, done.err
    assert message in done.err


def test_a_day_of_a_catalog_table_is_replaced_and_no_other(
    spark: SparkSession, schema: str, score: Callable[..., Outcome], tmp_path: Path
) -> None:
    new = score("shop.scored", "--output.partition_by", "day", "--output.probability", "p", "--output.report", "")
    assert new.code == 0, new.err
    assert ", table shop.scored" in new.out
    assert spark.catalog.getTable("shop.scored").tableType == "MANAGED"
    half = N_ROWS // 2
    assert count_days(spark, "shop.scored") == {"mon": half, "tue": half}

    refuse(score("shop.scored"), "output.table: got 'shop.scored', which is there already")
    assert count_days(spark, "shop.scored") == {"mon": half, "tue": half}

    # The table's own columns to partition by are taken if none are given.
    again = ("--output.probability", "p", "--output.mode", "overwrite")
    done = score("shop.scored", *again, "--input.where", "day = 'mon' AND id < 100")
    assert done.code == 0, done.err
    assert count_days(spark, "shop.scored") == {"mon": 50, "tue": half}

    appended = score("shop.scored", *again[:2], "--output.mode", "append", "--input.where", "day = 'mon' AND id < 10")
    assert appended.code == 0, appended.err
    assert count_days(spark, "shop.scored") == {"mon": 55, "tue": half}
    assert [one.name for one in locate(spark, "shop.scored").parent.iterdir()] == ["scored"], (
        "nothing is left beside it"
    )


def test_a_catalog_is_told_of_a_new_day(
    spark: SparkSession, schema: str, run_job: Run, model: Path, table: Path
) -> None:
    spark.sql("CREATE TABLE shop.days (id BIGINT, prediction INT, day STRING) USING parquet PARTITIONED BY (day)")
    given = (
        "--model",
        model,
        "--input.path",
        table,
        "--features.handle_invalid",
        "keep",
        "--output.table",
        "shop.days",
    )
    kept = ("--output.columns", "day", "id", "--output.log_density", "", "--output.mode", "overwrite")
    for day in ("mon", "tue"):
        done = run_job("score", *given, *kept, "--input.where", f"day = '{day}'")
        assert done.code == 0, done.err
    assert count_days(spark, "shop.days") == {"mon": N_ROWS // 2, "tue": N_ROWS // 2}
    assert spark.table("shop.days").columns == ["id", "prediction", "day"]


@pytest.mark.parametrize(
    ("created", "arguments", "message"),
    [
        ("(id BIGINT) USING parquet", ["--output.mode", "append"], "which has other columns: x (there no, now double)"),
        ("(id BIGINT) USING csv", ["--output.mode", "append"], "a table in csv; jobs write Parquet tables"),
        ("(id BIGINT, b INT) USING parquet CLUSTERED BY (id) INTO 2 BUCKETS", [], "which has buckets"),
        (None, ["--output.path", "/nowhere"], "output.table: got both, needs exactly one of output.path and output.t"),
        ("(id BIGINT, day STRING) USING parquet PARTITIONED BY (day)", ["--output.partition_by", "id"], "got id, but"),
    ],
)
def test_what_does_not_fit_a_catalog_table_is_refused_before_the_work(
    spark: SparkSession,
    schema: str,
    score: Callable[..., Outcome],
    created: str | None,
    arguments: list[str],
    message: str,
) -> None:
    if created is not None:
        spark.sql(f"CREATE TABLE shop.t {created}")
    refuse(score("shop.t", *arguments), message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.t", "but there is no schema `nowhere`"),
        ("a b", "needs the name of a table"),
        ("seen", "which is a view"),
    ],
)
def test_what_names_no_table_is_refused(
    spark: SparkSession, score: Callable[..., Outcome], name: str, message: str
) -> None:
    spark.range(1).createOrReplaceTempView("seen")
    refuse(score(name), message)


def test_a_partition_that_lies_elsewhere_is_not_written_past(
    spark: SparkSession, schema: str, score: Callable[..., Outcome], tmp_path: Path
) -> None:
    spark.sql("CREATE TABLE shop.t (id BIGINT, day STRING) USING parquet PARTITIONED BY (day)")
    spark.sql(f"ALTER TABLE shop.t ADD PARTITION (day = 'mon') LOCATION '{tmp_path / 'elsewhere'}'")
    refuse(score("shop.t", "--output.mode", "overwrite"), "which has a partition outside its directory")


def test_a_job_does_not_write_over_its_own_catalog_table(
    spark: SparkSession, schema: str, run_job: Run, model: Path, table: Path
) -> None:
    spark.read.parquet(str(table)).write.saveAsTable("shop.t")
    given = ("--model", model, "--input.table", "shop.t", "--output.mode", "overwrite")
    refuse(run_job("score", *given, "--output.table", "spark_catalog.shop.t"), "which is input.table")
    location = locate(spark, "shop.t")
    refuse(run_job("score", *given, "--output.path", location), "which is or lies in input.path")
    by_path = ("--model", model, "--input.path", location, "--output.mode", "overwrite")
    refuse(run_job("score", *by_path, "--output.table", "shop.t"), "which is or lies in input.path")


def test_a_failed_run_leaves_the_rows_of_a_catalog_table(
    spark: SparkSession, schema: str, run_job: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = ("sample", "--model", model, "--output.table", "shop.drawn")
    assert run_job(*sample, "--n", 7).code == 0

    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError("no journal")

    with monkeypatch.context() as patch:
        patch.setattr("gmm_spark.jobs.io.table_output.plan", fail)
        assert run_job(*sample, "--n", 9, "--output.mode", "overwrite").code == 1
    assert spark.table("shop.drawn").count() == 7
    assert run_job(*sample, "--n", 9, "--output.mode", "overwrite").code == 0
    assert spark.table("shop.drawn").count() == 9


def test_a_first_run_that_dies_after_its_journal_is_completed_by_the_next(
    spark: SparkSession, schema: str, run_job: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = ("sample", "--model", model, "--n", 7, "--output.table", "shop.drawn")

    def interrupt(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(HadoopFiles, "move", interrupt)
        assert run_job(*sample).code == 1
    claim = locate(spark, "shop.drawn").parent / "_drawn.writing" / "_claim-1.json"
    claim.write_text(json.dumps({**json.loads(claim.read_text()), "process": "1"}))  # its process has ended
    done = run_job(*sample)
    refuse(done, "which an earlier run has written by now")
    assert spark.table("shop.drawn").count() == 7


def test_a_catalog_that_commits_by_itself_is_written_through_its_own_interface(
    spark: SparkSession, run_job: Run, model: Path, tmp_path: Path
) -> None:
    """Derby behind Spark's JDBC catalog stands for Delta and Iceberg, which are not installed here."""
    catalog = "spark.sql.catalog.derby"
    spark.conf.set(catalog, "org.apache.spark.sql.execution.datasources.v2.jdbc.JDBCTableCatalog")
    spark.conf.set(f"{catalog}.url", "jdbc:derby:memory:gmm;create=true")
    spark.conf.set(f"{catalog}.driver", "org.apache.derby.iapi.jdbc.AutoloadedDriver")
    spark.sql("CREATE NAMESPACE derby.app")
    sample = ("sample", "--model", model, "--output.table", "derby.app.drawn")
    assert run_job(*sample, "--n", 5).code == 0
    assert spark.table("derby.app.drawn").count() == 5
    refuse(run_job(*sample, "--n", 5), "which is there already")
    assert run_job(*sample, "--n", 6, "--output.mode", "append").code == 0
    assert spark.table("derby.app.drawn").count() == 11
    assert run_job(*sample, "--n", 3, "--output.mode", "overwrite").code == 0
    assert spark.table("derby.app.drawn").count() == 3
