"""A small table with known rows, and the jobs run in this process: a JVM for each would take most of the time."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gmm_spark.jobs.command import find_script

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]
N_ROWS, N_NULLS = 600, 5


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clusters, 6 apart, in columns x and y; the first rows lack x."""
    generator = np.random.default_rng(20)
    rows = np.concatenate([generator.normal(0, 1, (N_ROWS // 2, 2)), generator.normal([6, 3], 1, (N_ROWS // 2, 2))])
    x = pa.array([None] * N_NULLS + rows[N_NULLS:, 0].tolist())
    path = tmp_path_factory.mktemp("input") / "table.parquet"
    pq.write_table(
        pa.table({"id": pa.array(range(N_ROWS)), "x": x, "y": rows[:, 1], "day": ["mon", "tue"] * (N_ROWS // 2)}), path
    )
    return path


@pytest.fixture
def run_job(
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Outcome]:
    """Run a job's script in this process and in the tests' session, which stays open."""

    @contextmanager
    def shared(*_: object) -> Iterator[SparkSession]:
        yield spark

    monkeypatch.setattr("gmm_spark.jobs.run.running.open_session", shared)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("details")))

    def run(job: str, *arguments: object) -> Outcome:
        script = str(find_script(job))
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(script, run_name="__main__")
        return Outcome(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def model(run_job: Callable[..., Outcome], table: Path, tmp_path: Path) -> Path:
    """A model of the table, fitted by the job."""
    path = tmp_path / "model"
    done = run_job(
        "fit",
        *("--input.path", table, "--features.columns", "x", "y", "--features.handle_invalid", "skip"),
        *("--model.tol", "1e-6", "--output.model", path, "--output.report", tmp_path / "fit.json"),
    )
    assert done.code == 0, done.err
    return path
