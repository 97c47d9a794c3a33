"""A run whose driver and JVM are killed, and that is started again, ends with the model of one never killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs.conftest import ROOT
from tests.jobs.test_spark_submit import PYTHON, environment

# Times are drawn, so that a failure can be seen again; what they hit depends on the machine.
KILLS = random.Random(17)
CHAINS, KILLS_EACH = 2, 5


@pytest.fixture(scope="module")
def overlapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose clusters overlap, so that EM makes many passes."""
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(centre, 1.0, (4000, 2)) for centre in ([0, 0], [2, 1], [1, 3])])
    path = tmp_path_factory.mktemp("resume") / "table"
    path.mkdir()
    for part in range(2):
        columns = {name: rows[part::2, i] for i, name in enumerate(("x", "y"))}
        pq.write_table(pa.table(columns), path / f"{part}.parquet")
    return path


def start(table: Path, output: Path, run_id: str) -> subprocess.Popen[str]:
    search = ("--model.k", 3, "--model.sample_rows", 0, "--model.n_init", 2, "--model.tol", 1e-12)
    settings = ("--run.spark", "spark.master=local[2]", "--run.checkpoint_seconds", 0)
    arguments = ("--input.path", table, "--features.columns", "x", "y", "--output.model", output, "--run-id", run_id)
    command = [
        PYTHON,
        str(ROOT / "jobs" / "fit.py"),
        *map(str, (*arguments, *search, "--model.max_iter", 60, *settings)),
    ]
    return subprocess.Popen(
        command, env=environment(), start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def kill(process: subprocess.Popen[str]) -> None:
    """Kill driver and JVM at the same time: they are of one process group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return out


def read_fit(output: Path, run_id: str) -> tuple[object, dict[str, int]]:
    """The mixture and the bound of each pass as the report has them, in all digits; and what was recalled."""
    (manifest,) = (output / f"run_id={run_id}").glob("_manifest.json")
    report = json.loads((manifest.parent / json.loads(manifest.read_text())["report"]).read_text())
    history = [(one["iteration"], one["lower_bound"], one["step"]) for one in report["fit"]["history"]]
    return (report["mixture"], report["fit"]["log_likelihood"], history), report["resume"]


@pytest.mark.slow
def test_a_run_killed_ten_times_at_random_ends_as_one_that_was_not(overlapping: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    finish(start(overlapping, tmp_path / "m", "whole"))
    lasts = time.monotonic() - began
    expected, of_whole = read_fit(tmp_path / "m", "whole")
    assert of_whole["answers_recalled"] == 0
    assert of_whole["answers_new"] > 20
    recalled = 0
    for chain in range(CHAINS):
        for _ in range(KILLS_EACH):
            process = start(overlapping, tmp_path / "m", f"killed-{chain}")
            time.sleep(KILLS.uniform(0.3, 1.0) * lasts)
            kill(process)
        out = finish(start(overlapping, tmp_path / "m", f"killed-{chain}"))
        found, resumed = read_fit(tmp_path / "m", f"killed-{chain}")
        assert found == expected
        recalled += resumed["answers_recalled"]
        # Complete, whether by the last process or by one that was killed after that: one model, and nothing beside it.
        (folder,) = (tmp_path / "m" / f"run_id=killed-{chain}").glob("attempt-*")
        assert sorted(path.name for path in folder.iterdir()) == ["model", "portrait.json", "report.json"]
        assert not (folder.parent / "_answers").exists(), out
    assert recalled > 0  # how many depends on where the kills hit; the next test asks for the latest passes


@pytest.mark.slow
def test_a_run_that_is_terminated_goes_on_from_its_last_pass(overlapping: Path, tmp_path: Path) -> None:
    process = start(overlapping, tmp_path / "m", "a")
    answers = tmp_path / "m" / "run_id=a" / "_answers"
    deadline = time.monotonic() + 120
    while len(list(answers.glob("*"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    (last,) = (line for line in err.splitlines() if "ended with exit code 143" in line)
    assert "Run it again" in last
    finish(start(overlapping, tmp_path / "m", "a"))
    assert read_fit(tmp_path / "m", "a")[1]["answers_recalled"] >= 5
