"""What a report says of Spark's executors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmm_spark.jobs.run.executors import count_executors, describe_application
from tests.jobs.conftest import Outcome

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def executor(number: int, reason: str | None = None, active: bool = False) -> dict[str, Any]:
    tasks = {"completedTasks": 10, "failedTasks": number, "totalShuffleWrite": 100}
    return {"id": str(number), "hostPort": "node:1", "isActive": active, "removeReason": reason, **tasks}


def test_executors_that_spark_let_go_were_not_lost() -> None:
    found = count_executors(
        [
            executor(0, active=True),
            executor(1, "Executor killed by driver."),
            executor(2, "Command exited with code 137"),
            executor(3),
        ]
    )
    assert (found["executors"], found["executors_lost"], found["tasks"], found["tasks_failed"]) == (1, 2, 40, 6)
    assert [(one["id"], one["reason"]) for one in found["lost"]] == [
        ("2", "Command exited with code 137"),
        ("3", "unknown"),
    ]


def test_a_report_counts_all_lost_executors_and_names_a_few() -> None:
    found = count_executors([executor(i, "x" * 1000) for i in range(500)])
    assert found["executors_lost"] == 500
    assert len(json.dumps(found)) < 10_000


def test_a_session_that_does_not_tell_is_no_error(spark: SparkSession) -> None:
    class Mute:
        """A session without a JVM that answers."""

        sparkContext = None

    assert describe_application(Mute()) == {}  # type: ignore[arg-type]
    assert describe_application(spark)["executors"] == 1


def test_a_fits_report_has_what_it_took(run_job: Callable[..., Outcome], table: Path, tmp_path: Path) -> None:
    done = run_job(
        "fit",
        *("--input.path", table, "--features.columns", "x", "y", "--features.handle_invalid", "skip"),
        *("--model.max_iter", "2", "--model.tol", "0", "--output.model", tmp_path / "m"),
        *("--output.report", tmp_path / "report.json"),
    )
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "report.json").read_text())
    told, rows = report["spark"], report["rows"]["used"]
    assert told["application"].startswith("local-")
    assert (told["executors"], told["executors_lost"], told["lost"]) == (1, 0, [])
    assert told["packing"] == {
        "packings": 1,
        "misses": 0,
        "streamed": False,
        "passes": 5,  # a sample, two of EM, an evaluation, a portrait
        "bytes_written": 2 * 8 * rows,
        "read_by": "parquet",
        "reason": "",
        "held": True,
    }
    for one in report["fit"]["history"]:
        assert one["rows_per_second"] * one["seconds"] == rows
    assert report["input"]["files"]["bytes"] == table.stat().st_size
