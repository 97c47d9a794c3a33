"""DAGs of gmm-spark: score and update every day, fit every week, select k every month.

The model and the day's scores are named by the date, so a task that is retried, or run again for its date, does the
same again or finds that nothing is to be done.

**Settings** are in the Airflow variable `gmm`:

| key | what it says |
|---|---|
| `bin` | folder of the jobs' own Python environment that has spark-submit |
| `jobs` | folder of the jobs' scripts: that of `gmm-spark where fit` |
| `config` | folder of `fit.toml`, `score.toml`, `select.toml`, `update.toml` and `spark-defaults.conf` |
| `date_column` | column of the input that has the day |
| `fit_days` | number of days before the run's date that fit and select read |
| `where` | further condition on the rows of all jobs, in Spark SQL; may be missing |
| `refit_on_drift` | whether drift also starts `gmm_fit`; false if it is missing |

The master is that of the connection `spark_default`. No secret belongs here: put them into the files of `config`, and
let only Airflow's user read these.

**Drift.** If the day's rows are not like the training rows, score ends with exit code 6. The task is then skipped, and
so is what hangs below `scored`; `drift_alarm` fails with the job's words. A refit learns whatever has changed, a
broken column too: look first, and leave `refit_on_drift` off unless drift is what you expect.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, CronDataIntervalTimetable, CronTriggerTimetable, TriggerRule, Variable, task
from airflow.sdk.exceptions import AirflowFailException

from gmm_exits import DRIFT
from gmm_operator import WHY_SKIPPED, GmmSparkSubmitOperator

# These win over `input.where` of the TOML files.
AND = "{% if var.json.gmm.get('where') %} and ({{ var.json.gmm.where }}){% endif %}"
DAY = "{{ var.json.gmm.date_column }} = '{{ ds }}'" + AND
DAYS_BEFORE = (
    "{{ var.json.gmm.date_column }} >= '{{ macros.ds_add(ds, -var.json.gmm.fit_days) }}' "
    "and {{ var.json.gmm.date_column }} < '{{ ds }}'" + AND
)
COMMON: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc),
    "catchup": False,
    "max_active_runs": 1,  # one job at a time writes to a table
    "tags": ["gmm-spark"],
    "doc_md": __doc__,
    # A run whose process was lost with its host is given up by the jobs after 5 minutes: until then a retry ends with
    # exit code 5. So retry for longer than that.
    "default_args": {"retries": 3, "retry_delay": timedelta(minutes=5)},
}


def submit(job: str, script: str, *arguments: str, **options: Any) -> GmmSparkSubmitOperator:
    """Make the task of a job."""
    return GmmSparkSubmitOperator(
        task_id=job,
        name=f"gmm-spark {job} {{{{ ds }}}}",
        application=f"{{{{ var.json.gmm.jobs }}}}/{script}",
        application_args=["--config", f"{{{{ var.json.gmm.config }}}}/{job}.toml", *arguments],
        properties_file="{{ var.json.gmm.config }}/spark-defaults.conf",
        bin_folder="{{ var.json.gmm.bin }}",
        **options,
    )


# The date of a run is that of its start, and its rows are those of the days before.
with DAG("gmm_fit", schedule=CronTriggerTimetable("@weekly", timezone="UTC"), **COMMON):
    latest = ("--output.day", "{{ macros.ds_add(ds, -1) }}")  # from which gmm_update counts the days
    submit("fit", "fit.py", "--run-id", "{{ ds }}", "--input.where", DAYS_BEFORE, *latest)

with DAG("gmm_select", schedule=CronTriggerTimetable("@monthly", timezone="UTC"), **COMMON):
    submit("select", "select_model.py", "--run-id", "{{ ds }}", "--input.where", DAYS_BEFORE)

# Brings the newest model up to date by the day that has ended: switch it on if a week is too long to wait for a fit.
# Its runs lie beside the fits', so they have other names.
with DAG("gmm_update", schedule=CronDataIntervalTimetable("@daily", timezone="UTC"), **COMMON):
    submit("update", "update.py", "--run-id", "update-{{ ds }}", "--update.day", "{{ ds }}", "--input.where", DAY)

# The date of a run is the day that has ended when it starts. With a cron string as schedule, it would be the day that
# begins.
with DAG("gmm_score", schedule=CronDataIntervalTimetable("@daily", timezone="UTC"), **COMMON):
    score = submit(
        *("score", "score.py", "--run-id", "{{ ds }}", "--input.where", DAY),
        *("--output.mode", "overwrite", "--output.partition_by", "{{ var.json.gmm.date_column }}"),
        skip_on_exit_code=[DRIFT],
    )

    @task.branch(trigger_rule=TriggerRule.ALL_SKIPPED)
    def drift_gate() -> list[str]:
        """Choose what follows drift. Not reached if score has succeeded or failed."""
        refit = Variable.get("gmm", deserialize_json=True).get("refit_on_drift", False)
        return ["drift_alarm", "refit"] if refit else ["drift_alarm"]

    @task
    def drift_alarm(ti: Any = None) -> None:
        """Fail with what score has said, so that whoever hears of failures hears of drift."""
        raise AirflowFailException(ti.xcom_pull(task_ids="score", key=WHY_SKIPPED))

    # On the next day, so that the day that has drifted is among the days before.
    refit = TriggerDagRunOperator(
        task_id="refit",
        trigger_dag_id="gmm_fit",
        logical_date="{{ macros.ds_add(ds, 1) }}",
        skip_when_already_exists=True,
    )
    # Hang what reads the scored table below this.
    score >> EmptyOperator(task_id="scored")
    score >> drift_gate() >> [drift_alarm(), refit]
