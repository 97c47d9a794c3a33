"""A stream of days through the jobs fit and update, some of them killed and run again.

``python -m tests.jobs.daily_stream`` prints the figures of docs/yesterday-and-today.md. Days run in one session but for
those that are killed: these are processes of their own, ended by SIGKILL as soon as the run's files show how far they
are.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.core.missing.density import log_density
from gmm_spark.core.mixture.noise import Noise
from gmm_spark.jobs.command import find_script

ROOT = Path(__file__).parents[2]
FIRST = date(2026, 1, 1)
COLUMNS = ("x0", "x1", "x2", "x3")
MEANS = np.array([[0.0, 0, 0, 0], [3, 0, 1, 0], [0, 3, 0, -1]])
DEVIATIONS = np.sqrt([[1.0, 1, 1, 1], [2, 1, 1, 0.5], [0.5, 0.5, 0.5, 0.5]])
WEIGHTS = np.array([0.5, 0.3, 0.2])
NEW = np.array([9.0, -9, 6, 6])
# What a run's directory shows when its process is killed.
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "before the first pass": lambda run: any(run.glob("_claim-1.json")),
    "between passes": lambda run: len(list(run.glob("_answers/*"))) >= 2,
    "while the model is written": lambda run: any(run.glob("attempt-*/model")),
    "while the run is published": lambda run: any(run.glob("attempt-*/report.json")),
}

Run = Callable[..., tuple[int, str, str]]


def name(day: int) -> str:
    return (FIRST + timedelta(days=day)).isoformat()


def draw_day(
    rng: np.random.Generator, rows: int, kind: str = "plain", shift: float = 0.0, new: float = 0.0
) -> np.ndarray:
    """Rows of a day, (m, 4): three overlapping clusters, the first of which is shifted, and a share in a new one."""
    labels = rng.choice(3, rows, p=WEIGHTS)
    found = rng.normal(size=(rows, 4)) * DEVIATIONS[labels] + MEANS[labels]
    found[labels == 0, 1] -= shift
    fresh = rng.random(rows) < new
    found[fresh] = NEW + rng.normal(size=(int(fresh.sum()), 4))
    if kind == "noise":
        stray = rng.random(rows) < 0.1
        found[stray] = rng.uniform(-20, 20, (int(stray.sum()), 4))
    if kind == "missing":
        found[rng.random(found.shape) < 0.2] = np.nan
    return found


def write_table(path: Path, days: Sequence[np.ndarray]) -> Path:
    """Write days as one table; NaN is written as null."""
    tables = []
    for number, rows in enumerate(days):
        columns = {one: pa.array(rows[:, i], from_pandas=True) for i, one in enumerate(COLUMNS)}
        tables.append(pa.table({**columns, "day": [name(number)] * len(rows)}))
    pq.write_table(pa.concat_tables(tables), path)
    return path


@dataclass(frozen=True)
class Stream:
    """Days of a table, each a run of one directory.

    Attributes
    ----------
    run : callable
        Runs a job in this process: its exit code, and what it printed.
    table, output : Path
    kind : {"plain", "noise", "missing"}
    half_life : float
        In days.
    """

    run: Run
    table: Path
    output: Path
    kind: str = "plain"
    half_life: float = 30.0

    def fit(self) -> str:
        """Fit the first day."""
        special = {"noise": ("--model.noise", "true"), "missing": ("--features.handle_invalid", "marginal")}
        return self._run("fit", "fit", 0, "--output.day", name(0), "--model.k", 3, "--model.seed", 1, *self._columns(),
                         *special.get(self.kind, ()))  # fmt: skip

    def update(self, day: int, *more: object) -> str:
        """Update by a day; returns what the job said."""
        return self._run("update", name(day), day, *self._settings(), *more)

    def kill(self, day: int, moment: str) -> str:
        """Begin a day in a process of its own, kill it at a moment, and return what has become of its run."""
        folder = self.output / f"run_id={name(day)}"
        command = [sys.executable, str(find_script("update")), *self._arguments(name(day), day), *self._settings()]
        command += ["--run.spark", "spark.master=local[2]", "spark.ui.enabled=false", "spark.sql.shuffle.partitions=2"]
        process = subprocess.Popen(
            [*map(str, command)], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not MOMENTS[moment](folder) and process.poll() is None:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)  # driver and JVM
        _, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, err[-2000:]
        return "complete" if (folder / "_manifest.json").exists() else "not complete"

    def read_report(self, day: int) -> Mapping[str, Any]:
        """The report of a day's run."""
        run = self.output / f"run_id={name(day)}"
        found: Mapping[str, Any] = json.loads(
            (run / json.loads((run / "_manifest.json").read_text())["report"]).read_text()
        )
        return found

    def load(self) -> GaussianMixtureModel:
        """The newest model."""
        return GaussianMixtureModel.load(str(self.output))

    def _settings(self) -> tuple[object, ...]:
        return ("--update.half_life", self.half_life, "--run.checkpoint_seconds", 0)

    def _columns(self) -> tuple[object, ...]:
        return ("--features.columns", *COLUMNS)

    def _arguments(self, run_id: str, day: int) -> tuple[object, ...]:
        rows = ("--input.path", self.table, "--input.where", f"day = '{name(day)}'")
        return (*rows, "--output.model", self.output, "--run-id", run_id, "--output.portrait", "false")

    def _run(self, job: str, run_id: str, day: int, *more: object) -> str:
        code, out, err = self.run(job, *self._arguments(run_id, day), *more)
        assert code == 0, err
        return out


def compare(model: GaussianMixtureModel, whole: GaussianMixtureModel, rows: np.ndarray) -> float:
    """What a model lacks of the log-density of a fit to all rows (m, 4), nats a row; noise is of the fit's box."""
    parameters = model.parameters
    if whole.parameters.noise is not None and parameters.noise is not None:
        box = whole.parameters.noise
        parameters = parameters.with_noise(Noise(parameters.noise.weight, box.low, box.high))
    complete = rows[~np.isnan(rows).all(axis=1)].T
    return float(log_density(whole.parameters, complete).mean() - log_density(parameters, complete).mean())


def fit_whole(spark: Any, table: Path, kind: str) -> GaussianMixtureModel:
    """Fit all days at once."""
    estimator = GaussianMixture(inputCols=list(COLUMNS), k=3, tol=1e-8, maxIter=500, seed=1, noise=kind == "noise")
    estimator.setHandleInvalid("marginal" if kind == "missing" else "error")
    return estimator.fit(spark.read.parquet(str(table)))


@contextmanager
def jobs_in_one_session() -> Iterator[tuple[Any, Run]]:
    """Start a session, and give it with what runs a job in it."""
    import io
    from contextlib import redirect_stderr, redirect_stdout

    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.ui.showConsoleProgress", "false").config("spark.sql.shuffle.partitions", "2")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")

    @contextmanager
    def shared(*_: object) -> Iterator[SparkSession]:
        yield spark

    def run(job: str, *arguments: object) -> tuple[int, str, str]:
        script, out, err = str(find_script(job)), io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", [script, *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as ended:
                return int(ended.code or 0), out.getvalue(), err.getvalue()
        raise AssertionError("a job ends its process")

    with mock.patch("gmm_spark.jobs.run.running.open_session", shared):
        yield spark, run
    spark.stop()


def follow_one_mixture(spark: Any, run: Run, folder: Path, kind: str, days: int, rows: int, killed: int) -> None:
    """Compare a stream of one mixture with the fit of all its days, killed on some and never killed."""
    rng = np.random.default_rng(0)
    table = [draw_day(rng, rows, kind) for _ in range(days)]
    path = write_table(folder / f"{kind}.parquet", table)
    plain, harried = (Stream(run, path, folder / f"{kind}-{one}", kind) for one in ("plain", "killed"))
    moments = [*MOMENTS][:killed]
    at = dict(zip(np.linspace(3, days - 2, killed).astype(int).tolist(), moments, strict=True))
    for stream in (plain, harried):
        stream.fit()
    words, passes = [], []
    for day in range(1, days):
        plain.update(day)
        words.append(plain.read_report(day)["update"]["verdict"]["word"])
        passes.append(len(plain.read_report(day)["fit"]["history"]))
        if day in at:
            state = harried.kill(day, at[day])
            told = harried.update(day)
            resumed = harried.read_report(day)["resume"] if state == "not complete" else "nothing to do"
            print(f"  {name(day)} killed {at[day]}: {state}; again: {resumed}; {told.splitlines()[-1][:40]}...")
        else:
            harried.update(day)
    one, other = plain.load(), harried.load()
    before = json.dumps(one.parameters.to_dict())
    twice = plain.update(days - 1)
    renamed = plain.update(days - 1, "--run-id", "again", "--update.day", name(days - 1))
    assert "nothing to do" in twice
    assert "nothing to do" in renamed
    assert json.dumps(plain.load().parameters.to_dict()) == before
    whole, stacked = fit_whole(spark, path, kind), np.concatenate(table)
    first = GaussianMixtureModel.load(str(plain.output / "run_id=fit"))
    lacks = [compare(found, whole, stacked) for found in (first, one)]
    print(
        f"  {days} days of {rows} rows, half-life {plain.half_life:g}, {np.mean(passes):.1f} passes a day: "
        f"{lacks[1]:.6f} nats a row below the fit of all days (the first day's model: {lacks[0]:.6f})"
    )
    print(
        f"  killed on {killed} days: same parameters to the bit: {before == json.dumps(other.parameters.to_dict())}; "
        f"ids {other.componentIds}; verdicts {sorted(set(words))}; the last day twice: nothing done"
    )
    if one.parameters.noise is not None and whole.parameters.noise is not None:
        denser = one.parameters.noise.log_density - whole.parameters.noise.log_density
        print(
            f"  weight of noise {one.noiseWeight:.4f}, {whole.noiseWeight:.4f} by the fit of all days; noise is "
            f"{denser:.3f} nats denser in the first day's box than in that of all days"
        )


def follow_a_change(run: Run, folder: Path, kind: str, days: int, rows: int, change: int, new: int) -> None:
    """A cluster moves by one deviation on a day, and another appears on a later one."""
    rng, half_life = np.random.default_rng(1), 5.0
    table = [
        draw_day(rng, rows, kind, 1.0 if day >= change else 0.0, 0.1 if day >= new else 0.0) for day in range(days)
    ]
    path = write_table(folder / f"{kind}-change.parquet", table)
    stream = Stream(run, path, folder / f"{kind}-changing", kind, half_life)
    stream.fit()
    first = stream.load()
    (moves,) = np.flatnonzero(np.linalg.norm(first.means - MEANS[0], axis=1) < 0.7)
    for day in range(1, days):
        stream.update(day)
        verdict = stream.read_report(day)["update"]["verdict"]
        mean = stream.load().means[moves]
        if day in (change - 1, change, change + 4, change + 9) or verdict["word"] == "refit":
            print(
                f"  day {day}: {verdict['word']}; moved by {-mean[1]:.3f} of 1; {'; '.join(verdict['reasons'])[:110]}"
            )
    assert stream.load().componentIds == first.componentIds


def main() -> None:
    """Run the streams and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=["plain", "noise", "missing"])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--killed", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, jobs_in_one_session() as (spark, run):
        for kind in given.kinds:
            print(f"{kind}: one mixture")
            follow_one_mixture(spark, run, Path(folder), kind, given.days, given.rows, given.killed)
            print(f"{kind}: a change on day {given.days // 2}, a new cluster on day {given.days - 4}")
            follow_a_change(run, Path(folder), kind, given.days, given.rows, given.days // 2, given.days - 4)


if __name__ == "__main__":
    main()
