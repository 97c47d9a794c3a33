"""The DAGs in a real Airflow: run, run again, with a bad day, killed, held by another process, and with drift."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from gmm_spark.storage import claims
from gmm_spark.storage.files import LocalFiles
from tests.airflow.conftest import BAD, N_ROWS, ROOT, THIRD, Airflow, Outcome, Task, write_configurations

pytestmark = pytest.mark.airflow
NOT_REACHED = dict.fromkeys(("drift_gate", "drift_alarm", "refit"), Task("skipped", 0))


def checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows_of(table: Path) -> pa.Table:
    return ds.dataset(table, partitioning="hive").to_table().sort_by([("dt", "ascending"), ("id", "ascending")])


def parameters_of(run: Path) -> pa.Table:
    (model,) = run.glob("attempt-*/model/data")
    return ds.dataset(model).to_table()


@pytest.fixture(scope="module")
def fitted(airflow: Airflow) -> Outcome:
    """The models have a run of the third day, fitted to the two days before."""
    return airflow.test("gmm_fit", THIRD)


@pytest.fixture(scope="module")
def scored(airflow: Airflow, fitted: Outcome) -> Outcome:
    """The third day is scored."""
    return airflow.test("gmm_score", THIRD)


@pytest.fixture(scope="module")
def described(airflow: Airflow) -> dict[str, Any]:
    printed = airflow.run("python", str(ROOT / "tests/airflow/describe_dags.py"), str(airflow.dags))
    return json.loads(printed.splitlines()[-1])


def test_the_operator_refuses_a_secret_on_the_command_line(described: dict[str, Any]) -> None:
    assert described["refuses"] == [True] * 4
    assert described["accepts"]


def test_the_dags_load_and_say_what_follows_what(described: dict[str, Any]) -> None:
    assert described["errors"] == {}
    assert described["warnings"] == []
    dags = described["dags"]
    assert {name: sorted(tasks) for name, tasks in dags.items()} == {
        "gmm_fit": ["fit"],
        "gmm_select": ["select"],
        "gmm_update": ["update"],
        "gmm_score": ["drift_alarm", "drift_gate", "refit", "score", "scored"],
    }
    assert {name: task["after"] for name, task in dags["gmm_score"].items()} == {
        "score": [],
        "scored": ["score"],
        "drift_gate": ["score"],
        "drift_alarm": ["drift_gate"],
        "refit": ["drift_gate"],
    }
    assert all(task["retries"] == 3 for tasks in dags.values() for task in tasks.values())


def test_a_fit_reads_the_days_before_and_a_score_its_day(airflow: Airflow, fitted: Outcome, scored: Outcome) -> None:
    assert (fitted.state, fitted.tasks) == ("success", {"fit": Task("success", 1)})
    assert f"fit: {2 * N_ROWS} rows used" in fitted.log
    assert scored.state == "success"
    assert scored.tasks == {"score": Task("success", 1), "scored": Task("success", 1), **NOT_REACHED}
    assert rows_of(airflow.scored).num_rows == N_ROWS
    # The next day is scored once it has ended; fits run on Sundays.
    planned = {dag: (at, after) for dag, *times in airflow.query(NEXT) for at, after in [map(parse, times)]}
    at, after = planned["gmm_score"]
    assert (at, after - at) == (at.replace(hour=0, minute=0), timedelta(days=1))
    at, after = planned["gmm_fit"]
    assert (at.weekday(), at) == (6, after)


NEXT = "select dag_id, next_dagrun, next_dagrun_create_after from dag"


def parse(text: str) -> datetime:
    return datetime.fromisoformat(text.partition(".")[0])


def test_a_second_time_for_one_date_changes_nothing(airflow: Airflow, scored: Outcome) -> None:
    models, rows = checksums(airflow.models), rows_of(airflow.scored)
    again = airflow.test("gmm_fit", THIRD)
    assert again.state == "success"
    assert f"fit: nothing to do, run {THIRD} in" in again.log
    assert checksums(airflow.models) == models
    assert airflow.test("gmm_score", THIRD).state == "success"
    assert rows_of(airflow.scored).equals(rows)
    assert checksums(airflow.models) == models


def test_a_bad_day_fails_at_once_says_why_and_leaves_the_day_before(airflow: Airflow, scored: Outcome) -> None:
    before = checksums(airflow.scored)
    failed = airflow.test("gmm_score", BAD)
    assert failed.state == "failed"
    assert failed.tasks == {"score": Task("failed", 1), "scored": Task("upstream_failed", 0), **NOT_REACHED}
    _, _, said = failed.log.partition("AirflowFailException: score failed: bad rows in x, y: ")
    last = said.splitlines()[1]
    assert last.startswith("score ended with exit code 3. ")
    assert " Nothing was published. " in last
    assert checksums(airflow.scored) == before


def test_a_fit_that_is_killed_is_retried_and_ends_as_if_it_had_not_been(airflow: Airflow, fitted: Outcome) -> None:
    models = airflow.folder / "other-models"
    run = models / f"run_id={THIRD}"
    with airflow.testing("gmm_fit", THIRD, config=str(write_configurations(airflow, models))) as running:
        running.wait_until((run / "_answers" / "1-000003.answers").exists)
        assert running.kill_job("fit.py") == 2
        assert not (run / "_manifest.json").exists()
        done = airflow.finish(running, "gmm_fit", THIRD)
    assert (done.state, done.tasks) == ("success", {"fit": Task("success", 2)})
    assert [path.name for path in run.glob("attempt-*")] == ["attempt-2"]
    assert json.loads((run / "attempt-2" / "report.json").read_text())["resume"]["answers_recalled"] >= 3
    assert parameters_of(run).equals(parameters_of(airflow.models / f"run_id={THIRD}"))


def test_a_run_that_another_process_holds_is_waited_for(airflow: Airflow) -> None:
    run = airflow.selections / f"run_id={BAD}"
    held = claims.take(LocalFiles(), str(run), "select")
    with airflow.testing("gmm_select", BAD, fit_days=2, where="id < 300 or id is null") as running:
        with held.kept_alive():
            running.wait_until(lambda: "select ended with exit code 5." in running.log)
        held.give_up("interrupted")
        done = airflow.finish(running, "gmm_select", BAD)
    assert done.state == "success"
    assert done.tasks["select"].tries > 1
    assert json.loads((run / "_manifest.json").read_text())["fit"]["rows"] == 2 * 300


DRIFTED = """
import sys
print("score failed: x has moved by 3 standard deviations\\nscore ended with exit code 6. Look at it.", file=sys.stderr)
sys.exit(6)
"""


@pytest.mark.parametrize(("day", "refit"), [("2026-11-28", False), ("2026-11-29", True)])
def test_drift_raises_an_alarm_stops_what_reads_the_scores_and_starts_a_refit_only_if_asked(
    airflow: Airflow, tmp_path: Path, day: str, refit: bool
) -> None:
    (tmp_path / "score.py").write_text(DRIFTED)
    drifted = airflow.test("gmm_score", day, jobs=str(tmp_path), refit_on_drift=refit)
    assert drifted.state == "failed"
    assert drifted.tasks == {
        "score": Task("skipped", 1),
        "scored": Task("skipped", 0),
        "drift_gate": Task("success", 1),
        "drift_alarm": Task("failed", 1),
        "refit": Task("success", 1) if refit else Task("skipped", 0),
    }
    asked = "select value from xcom join dag_run using (dag_id, run_id) where key = 'why_skipped'"
    ((why,),) = airflow.query(f"{asked} and date(logical_date) = '{day}'")  # not the log: tasks side by side share it
    assert json.loads(why).startswith("score failed: x has moved by 3 standard deviations")
    queued = airflow.query("select logical_date from dag_run where dag_id = 'gmm_fit' and state = 'queued'")
    # Of the next day: the days before it include the one that has drifted.
    assert [date.partition(" ")[0] for (date,) in queued] == (["2026-11-30"] if refit else [])
