"""OpenLineage's events of a job, as its client writes them into a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gmm_spark.jobs.io.dataset_names import DatasetName, name_database, name_path, name_table
from tests.jobs.conftest import Outcome

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SECRET = "hunter2"


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """The events so far. OpenLineage's client is told where to write them by its own file of settings."""
    pytest.importorskip("openlineage.client")
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)
    file = tmp_path / "events.json"
    (tmp_path / "openlineage.yml").write_text(
        f"transport:\n  type: file\n  log_file_path: {file}\n  append: true\n", encoding="utf-8"
    )
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(tmp_path / "openlineage.yml"))
    return lambda: [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def fit(run_job: Callable[..., Outcome], table: Path, model: Path, *arguments: str) -> Outcome:
    return run_job(
        "fit",
        *("--input.path", table, "--features.columns", "x", "y", "--model.max_iter", "2", "--model.tol", "0"),
        *("--output.model", model, "--run.lineage", *arguments),
    )


def names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["namespace"], one["name"]) for one in datasets]


def test_a_fit_and_a_scoring_tell_what_they_read_and_wrote(
    run_job: Callable[..., Outcome],
    table: Path,
    tmp_path: Path,
    events: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parent = "01941a2f-7a6c-7d3c-8f3e-4d8a1c2b3e4f"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"air/flow/dag.fit/{parent}")
    model, scored = tmp_path / "m", tmp_path / "scored"
    skip = ("--features.handle_invalid", "skip")
    done = fit(run_job, table, model, *skip, "--run-id", "first", "--run.app_name", "nightly fit")
    assert done.code == 0, done.err
    started, ended = events()
    assert (started["eventType"], ended["eventType"]) == ("START", "COMPLETE")
    assert started["run"]["runId"] == ended["run"]["runId"]
    assert (ended["job"]["namespace"], ended["job"]["name"]) == ("default", "nightly fit")
    assert names(ended["inputs"]) == names(started["inputs"]) == [("file", str(table))]
    assert names(ended["outputs"]) == [("file", str(model))]
    told = ended["run"]["facets"]["gmm_spark"]
    report = json.loads(next(model.glob("run_id=first/attempt-1/report.json")).read_text())
    assert told["run_id"] == "first"
    assert (told["k"], told["covariance_type"], told["rows"]) == (2, "full", report["rows"]["used"])
    assert told["lower_bound"] == report["fit"]["lower_bound"]
    above = ended["run"]["facets"]["parent"]
    assert (above["job"]["namespace"], above["job"]["name"]) == ("air/flow", "dag.fit")
    assert above["run"]["runId"] == parent

    flags = ("--input.path", table, "--output.path", scored, *skip, "--run.lineage", "--run.lineage_namespace", "prod")
    done = run_job("score", "--model", model, *flags)
    assert done.code == 0, done.err
    ended = events()[-1]
    assert (ended["job"]["namespace"], ended["job"]["name"]) == ("prod", "gmm-spark score")
    assert names(ended["inputs"]) == [("file", str(table)), ("file", str(model))]
    assert names(ended["outputs"]) == [("file", str(scored))]
    assert ended["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == report["rows"]["used"]


def test_a_failure_is_told_without_secrets(
    run_job: Callable[..., Outcome], table: Path, tmp_path: Path, events: Callable[[], list[dict[str, Any]]]
) -> None:
    where = ("--input.where", f"nothing = '{SECRET}'", "--input.options", f"password={SECRET}")
    assert fit(run_job, table, tmp_path / "m", *where).code == 3
    started, failed = events()
    assert (started["eventType"], failed["eventType"]) == ("START", "FAIL")
    assert "input.where" in failed["run"]["facets"]["errorMessage"]["message"]
    assert SECRET not in json.dumps([started, failed])


def test_a_backend_that_fails_is_a_warning_and_no_more(
    run_job: Callable[..., Outcome],
    table: Path,
    tmp_path: Path,
    events: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: object, event: object) -> None:
        raise ConnectionError("nobody listens")

    monkeypatch.setattr("openlineage.client.OpenLineageClient.emit", refuse)
    done = fit(run_job, table, tmp_path / "m", "--features.handle_invalid", "skip")
    assert done.code == 0
    assert done.err.count("nobody listens") == 2  # START and COMPLETE
    (tmp_path / "openlineage.yml").write_text("transport:\n  type: none such\n", encoding="utf-8")
    done = fit(run_job, table, tmp_path / "n", "--features.handle_invalid", "skip")
    assert done.code == 0
    assert "no lineage is sent" in done.err
    assert not events()


def test_without_its_client_lineage_is_refused_at_once(
    run_job: Callable[..., Outcome], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gmm_spark.jobs.config.fields.find_spec", lambda name: None)
    done = fit(run_job, table, tmp_path / "m")
    assert done.code == 2
    assert "gmm-spark[lineage]" in done.err


def test_a_catalog_table_is_named_by_its_location_and_a_view_by_its_name(spark: SparkSession, tmp_path: Path) -> None:
    spark.range(3).createOrReplaceTempView("of_lineage")
    assert name_table(spark, "of_lineage") == ("spark", "of_lineage")
    spark.sql(f"CREATE TABLE kept_of_lineage (x INT) USING parquet LOCATION '{tmp_path}/t'")
    try:
        assert name_table(spark, "kept_of_lineage") == ("file", f"{tmp_path}/t")
    finally:
        spark.sql("DROP TABLE kept_of_lineage")


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("file:/tmp/a b/t", "file", "/tmp/a b/t"),
        ("file:///tmp/t/", "file", "/tmp/t"),
        ("/tmp/t", "file", "/tmp/t"),
        ("s3a://bucket/a/b/", "s3://bucket", "a/b"),
        ("s3n://key:word@bucket", "s3://bucket", "/"),
        ("gs://bucket/a", "gs://bucket", "a"),
        ("hdfs://name:8020/a/", "hdfs://name:8020", "/a"),
        ("abfs://box@account.dfs.core.windows.net/a", "abfss://box@account.dfs.core.windows.net", "a"),
        ("wasbs://box:word@account.blob.core.windows.net/a", "wasbs://box@account.blob.core.windows.net", "a"),
        ("sftp://me:word@host:22/a", "sftp://host:22", "/a"),
    ],
)
def test_paths_are_named_as_openlineage_asks_for(uri: str, namespace: str, name: str) -> None:
    assert name_path(uri) == (namespace, name)


@pytest.mark.parametrize(
    ("url", "table", "expected"),
    [
        ("jdbc:postgresql://host/db?user=a&password=b", "s.t", ("postgres://host:5432", "db.s.t")),
        ("jdbc:mysql://me:word@host:1/db", "t", ("mysql://host:1", "db.t")),
        ("jdbc:mysql://me:w@rd@host/db", "t", ("mysql://host:3306", "db.t")),
        ("jdbc:sqlserver://host;user=me;password=word", "t", ("mssql://host:1433", "t")),
        ("jdbc:postgresql://host/db", "(select 'word') q", ("postgres://host:5432", "db")),
        ("jdbc:derby:memory:x", "t", None),
        ("", "", None),
    ],
)
def test_databases_are_named_without_what_may_be_secret(url: str, table: str, expected: tuple[str, str] | None) -> None:
    assert name_database(url, table) == (None if expected is None else DatasetName(*expected))
