"""A real Airflow: an installation of its own, with the DAGs copied to its folder as a user would copy them.

``make test-airflow`` installs it and says in ``GMM_SPARK_TEST_AIRFLOW`` where its programs are.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
N_ROWS = 400  # a day
FIRST, SECOND, THIRD, BAD = (f"2026-11-{day}" for day in (23, 24, 25, 26))
SECRET = "swordfish-7311"


class Task(NamedTuple):
    state: str
    tries: int


@dataclass(frozen=True)
class Outcome:
    """What became of a DAG for one date."""

    state: str
    tasks: dict[str, Task]
    log: str


class Running:
    """An ``airflow dags test`` at work."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not condition():
            assert self.process.poll() is None, self.log[-3000:]
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.05)

    def kill_job(self, script: str) -> int:
        """Kill the driver and the JVM of a job that this process has started; return how many processes that were."""
        listed = subprocess.run(["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        ours = {self.process.pid}
        for _ in rows:  # as many generations at most
            ours |= {int(pid) for pid, parent, *_ in rows if int(parent) in ours}
        doomed = [int(pid) for pid, _, *args in rows if int(pid) in ours and args and f"/{script} " in args[0]]
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        return len(doomed)


class Airflow:
    """Airflow with a database, a folder of DAGs and a table of its own, all below one folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self.folder = programs, folder
        self.models, self.scored, self.selections = (folder / name for name in ("models", "scored", "selections"))
        self.dags = folder / "dags"
        self.settings: dict[str, Any] = {
            "bin": str(Path(sys.executable).parent),
            "jobs": str(ROOT / "jobs"),
            "date_column": "dt",
            "fit_days": 28,
        }

    def run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=self._environment(), timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    @contextmanager
    def testing(self, dag: str, day: str, **settings: Any) -> Iterator[Running]:
        """Run a DAG for a date, with other settings if any are given."""
        log = self.folder / "test.log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                [str(self._programs / "airflow"), "dags", "test", dag, day],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._environment(**settings),
            ) as process,
        ):
            try:
                yield Running(process, log)
            finally:
                process.kill()

    def test(self, dag: str, day: str, **settings: Any) -> Outcome:
        """Run a DAG for a date to its end, and return what became of it."""
        with self.testing(dag, day, **settings) as running:
            return self.finish(running, dag, day)

    def finish(self, running: Running, dag: str, day: str) -> Outcome:
        running.process.wait(600)
        assert SECRET not in running.log
        return self.look_up(dag, day, running.log)

    def look_up(self, dag: str, day: str, log: str = "") -> Outcome:
        """Look up the states of a DAG's run for a date, and of its tasks."""
        rows = self.query(
            "select r.state, t.task_id, t.state, t.try_number from dag_run r join task_instance t "
            "on t.dag_id = r.dag_id and t.run_id = r.run_id "
            f"where r.dag_id = '{dag}' and r.logical_date like '{day}%' order by r.id"
        )
        assert rows, f"no run of {dag} for {day}"
        return Outcome(rows[-1][0], {task: Task(state, tries) for _, task, state, tries in rows}, log)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.folder / "airflow.db") as database:
            return database.execute(sql).fetchall()

    def _environment(self, **settings: Any) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYSPARK_"))}
        return {
            **inherited,
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[2]"}),
            "AIRFLOW_VAR_GMM": json.dumps({**self.settings, **settings}),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    programs = os.environ.get("GMM_SPARK_TEST_AIRFLOW")
    if not programs:
        pytest.fail("these tests need an Airflow: run make test-airflow")
    made = Airflow(Path(programs), tmp_path_factory.mktemp("airflow"))
    shutil.copytree(ROOT / "jobs" / "airflow", made.dags, ignore=shutil.ignore_patterns("__pycache__"))
    dags = made.dags / "gmm_dags.py"
    source = dags.read_text(encoding="utf-8")
    assert source.count("timedelta(minutes=5)") == 1
    dags.write_text(source.replace("timedelta(minutes=5)", "timedelta(seconds=1)"), encoding="utf-8")
    write_table(made.folder / "table")
    made.settings["config"] = str(write_configurations(made, made.models))
    made.run("airflow", "db", "migrate")
    return made


def write_table(path: Path) -> None:
    """Write four days of two clusters, 6 apart. A feature is NaN in one row of the last day."""
    generator = np.random.default_rng(20)
    for day in (FIRST, SECOND, THIRD, BAD):
        rows = np.concatenate([generator.normal(0, 1, (N_ROWS // 2, 2)), generator.normal([6, 3], 1, (N_ROWS // 2, 2))])
        if day == BAD:
            rows[3, 0] = np.nan
        folder = path / f"dt={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"id": range(N_ROWS), "x": rows[:, 0], "y": rows[:, 1]}), folder / "rows.parquet")


def write_configurations(airflow: Airflow, models: Path) -> Path:
    """Write the files of jobs that fit to a directory of models, and score with it. Return their folder."""
    folder = airflow.folder / f"config-of-{models.name}"
    folder.mkdir()
    table = f'[input]\npath = "{airflow.folder}/table"\noptions = {{ password = "{SECRET}" }}\n'
    features = '[features]\ncolumns = ["x", "y"]\n'
    fit = "[model]\nk = 3\ntol = 0\nmax_iter = 12\n[run]\ncheckpoint_seconds = 0\n"  # enough passes to die between
    spark = f"spark.ui.enabled false\nspark.sql.shuffle.partitions 2\nspark.hadoop.fs.s3a.secret.key {SECRET}\n"
    files = {
        "fit.toml": f'{table}{features}{fit}[output]\nmodel = "{models}"\n',
        "score.toml": f'model = "{models}"\n{table}[output]\npath = "{airflow.scored}"\n',
        "select.toml": f'{table}{features}[selection]\nks = [1, 2]\n[output]\nmodel = "{airflow.selections}"\n',
        "spark-defaults.conf": spark,
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o600)
    return folder
