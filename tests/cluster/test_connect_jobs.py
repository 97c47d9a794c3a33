"""The jobs over Spark Connect, whose client can reach files of its own disk only."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.jobs.conftest import ROOT
from tests.jobs.test_spark_submit import PYTHON, environment

pytestmark = pytest.mark.connect


def run(folder: Path, job: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    settings = {**environment(), "SPARK_REMOTE": "local[2]", "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": PYTHON}
    command = [PYTHON, str(ROOT / "jobs" / f"{job}.py"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **settings}, cwd=folder, timeout=300, check=False
    )


def test_a_run_on_a_shared_disk_is_fitted_read_and_not_done_twice(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(0, 1, (200, 2)) + np.repeat([[0], [9]], 100, axis=0)
    pq.write_table(pa.table({"x": rows[:, 0], "y": rows[:, 1]}), tmp_path / "t.parquet")
    fit = ("fit", "--input.path", tmp_path / "t.parquet", "--features.columns", "x", "y", "--output.model", "m")
    for told in ("fit: 200 rows used", "fit: nothing to do"):
        done = run(tmp_path, *fit, "--run-id", "a")
        assert done.returncode == 0, done.stderr[-2000:]
        assert told in done.stdout
    manifest = json.loads((tmp_path / "m" / "run_id=a" / "_manifest.json").read_text())
    assert manifest["input"]["files"]["count"] == 1
    score = ("score", "--model", "m", "--input.path", tmp_path / "t.parquet", "--output.path", tmp_path / "scored")
    done = run(tmp_path, *score)
    assert done.returncode == 0, done.stderr[-2000:]
    assert ds.dataset(tmp_path / "scored").count_rows() == 200

    refused = run(tmp_path, *score, "--output.mode", "overwrite")
    assert refused.returncode == 2
    assert "output.mode: got 'overwrite' over Spark Connect, whose client cannot move files" in refused.stderr
    assert ds.dataset(tmp_path / "scored").count_rows() == 200

    refused = run(tmp_path, *fit[:-1], "s3a://bucket/m")
    assert refused.returncode == 2
    assert "s3a://bucket/m: over Spark Connect this can only be on the client's own disk" in refused.stderr
