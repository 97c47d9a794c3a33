"""The jobs as real processes: by spark-submit, by python, interrupted, and with their JVM killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.jobs.conftest import N_NULLS, N_ROWS, ROOT

SPARK_SUBMIT = str(Path(sys.executable).with_name("spark-submit"))
PYTHON = sys.executable
# A tenth of a second a row: long enough to be stopped half-way.
SLOW = "length(concat('a', coalesce(reflect('java.lang.Thread', 'sleep', 100L), ''))) > 0"


def environment() -> dict[str, str]:
    settings = {"SPARK_CONF_DIR": str(ROOT / "conf"), "PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYSPARK_", "SPARK_"))}
    # The tests' JVMs compile quickly: else each takes twice the time (tests/conftest.py).
    return {**inherited, **settings, "SPARK_SUBMIT_OPTS": os.environ["SPARK_SUBMIT_OPTS"]}


def run(program: str, job: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [program, str(ROOT / "jobs" / f"{job}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300, check=False)


def fit(program: str, table: Path, model: Path) -> subprocess.CompletedProcess[str]:
    features = ("--features.columns", "x", "y", "--features.handle_invalid", "skip")
    return run(program, "fit", "--input.path", table, *features, "--output.model", model)


def last_lines(text: str) -> tuple[str, str]:
    """The two lines that end what a failed job writes. The JVM, which ends after it, may add its own."""
    lines = text.splitlines()
    (last,) = (i for i, line in enumerate(lines) if " ended with exit code " in line)
    return lines[last - 1], lines[last]


@pytest.fixture(scope="module")
def fitted(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    model = tmp_path_factory.mktemp("fitted") / "model"
    return fit(PYTHON, table, model), model


def test_python_runs_a_fit_without_any_setting(fitted: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = fitted
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"fit: {N_ROWS - N_NULLS:,} rows used, {N_NULLS} skipped" in done.stdout


@pytest.mark.slow
def test_spark_submit_fits_scores_and_samples(table: Path, tmp_path: Path) -> None:
    model, scored, sampled = (tmp_path / name for name in ("model", "scored", "sampled"))
    for done in (
        fit(SPARK_SUBMIT, table, model),
        run(
            SPARK_SUBMIT,
            "score",
            *("--model", model, "--input.path", table, "--output.path", scored, "--features.handle_invalid", "keep"),
        ),
        run(SPARK_SUBMIT, "sample", "--model", model, "--n", 1000, "--output.path", sampled),
    ):
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = ds.dataset(scored).to_table()
    assert rows.column_names == ["id", "x", "y", "day", "prediction", "log_density"]
    assert (rows.num_rows, rows["log_density"].null_count) == (N_ROWS, N_NULLS)
    assert ds.dataset(sampled).schema.names == ["component", "x", "y"]
    assert ds.dataset(sampled).count_rows() == 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--surplus"], 2),
        (["--model.max_iter", "1", "--model.tol", "0", "--run.require_convergence"], 4),
        (["--run.spark", "spark.sql.shuffle.partitions=many"], 2),
    ],
)
def test_spark_submit_passes_exit_codes_on(table: Path, tmp_path: Path, arguments: list[str], code: int) -> None:
    features = ("--features.columns", "x", "y", "--features.handle_invalid", "skip")
    done = run(SPARK_SUBMIT, "fit", "--input.path", table, *features, "--output.model", tmp_path / "m", *arguments)
    assert done.returncode == code
    # spark-submit sends what a Python program writes to stderr to its own stdout.
    assert last_lines(done.stdout)[1].startswith(f"fit ended with exit code {code}. ")
    assert not list(tmp_path.glob("m/**/_manifest.json"))  # no run is complete


@contextmanager
def started(program: str, job: str, log: Path, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A job as a process of its own, which writes to a file what it writes to stdout and stderr."""
    command = [program, str(ROOT / "jobs" / f"{job}.py"), *map(str, arguments)]
    with open(log, "wb") as file, subprocess.Popen(command, stdout=file, stderr=file, env=environment()) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(is_there: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while not is_there():
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, "the job has not got so far: " + log.read_text()[-2000:]
        time.sleep(0.05)


@contextmanager
def scoring_half_way(
    model: Path, table: Path, directory: Path, log: Path, program: str = PYTHON
) -> Iterator[subprocess.Popen[bytes]]:
    """A score job that is to replace a table, begun and seen to write."""
    pq.write_to_dataset(pa.table({"old": [1]}), directory / "scored")
    arguments = (
        *("--model", model, "--input.path", table, "--input.where", SLOW, "--features.handle_invalid", "keep"),
        *("--output.path", directory / "scored", "--output.mode", "overwrite"),
    )
    with started(program, "score", log, *arguments) as job:
        wait_for(lambda: list(directory.glob("_scored.writing/attempt-1")), job, log)
        yield job


def jvm_of(process: subprocess.Popen[Any]) -> int:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    lines = (line.split(None, 2) for line in listed.splitlines())
    return next(int(pid) for pid, parent, name in lines if int(parent) == process.pid and "java" in name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "signal_", "code"),
    [(PYTHON, signal.SIGTERM, 143), (PYTHON, signal.SIGINT, 1), (SPARK_SUBMIT, signal.SIGTERM, 143)],
)
def test_a_terminated_job_fails_and_leaves_the_old_table_alone(
    fitted: tuple[object, Path],
    table: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    program: str,
    signal_: signal.Signals,
    code: int,
) -> None:
    log = tmp_path_factory.mktemp("log") / "log"
    with scoring_half_way(fitted[1], table, tmp_path, log, program) as job:
        job.send_signal(signal_)
        job.wait(timeout=120)
    assert job.returncode == code, log.read_text()[-2000:]
    assert last_lines(log.read_text())[1] == f"score ended with exit code {code}. Nothing was published. Run it again."
    assert ds.dataset(tmp_path / "scored").to_table().to_pydict() == {"old": [1]}
    assert [path.name for path in tmp_path.iterdir()] == ["scored"], "nothing is left beside it"


@pytest.mark.slow
@pytest.mark.parametrize("program", [PYTHON, SPARK_SUBMIT], ids=["python", "spark-submit"])
@pytest.mark.parametrize("stage", ["packing", "passes"])
def test_a_fit_that_gets_sigterm_says_so_and_leaves_no_model_and_no_block(
    table: Path, tmp_path: Path, program: str, stage: str
) -> None:
    """Also if spark-submit gets it, whose child the driver is."""
    local, log = tmp_path / "local", tmp_path / "log"
    local.mkdir()
    arguments = (
        *("--input.path", table, "--features.columns", "x", "y", "--features.handle_invalid", "skip"),
        *("--output.model", tmp_path / "model", "--run.spark", f"spark.local.dir={local}", "--run.log", "text"),
        *("--model.k", 5, "--model.tol", 0, "--model.max_iter", 10**6, "--model.accelerate", "false"),
        *(("--model.sample_rows", 0) if stage == "passes" else ("--input.where", SLOW)),
    )
    with started(program, "fit", log, *arguments) as job:
        if stage == "passes":
            wait_for(lambda: " pass 3" in log.read_text(), job, log)
        else:
            wait_for(lambda: list(tmp_path.glob("model/run_id=*/_claim-1.json")), job, log)
            time.sleep(3)  # the table is read then: a minute's work
        job.send_signal(signal.SIGTERM)
        job.wait(timeout=120)
    assert job.returncode == 143, log.read_text()[-2000:]
    assert last_lines(log.read_text()) == (
        "fit failed: terminated by SIGTERM",
        "fit ended with exit code 143. Nothing was published. Run it again.",
    )
    assert not list(tmp_path.glob("model/**/_manifest.json"))
    assert not list(tmp_path.glob("model/**/*.parquet"))
    deadline = time.monotonic() + 30
    while list(local.rglob("*")) and time.monotonic() < deadline:  # a JVM that Python has started ends after it
        time.sleep(0.1)
    assert not list(local.rglob("*"))


@pytest.mark.slow
def test_a_driver_whose_jvm_has_died_publishes_nothing(
    fitted: tuple[object, Path], table: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("log") / "log"
    with scoring_half_way(fitted[1], table, tmp_path, log) as job:
        os.kill(jvm_of(job), signal.SIGKILL)
        job.wait(timeout=120)
    assert job.returncode == 1
    failed, last = last_lines(log.read_text())
    assert failed.startswith("score failed: Spark's JVM has ended")
    assert last.startswith("score ended with exit code 1. Details are in ")
    assert ". Nothing was published. " in last
    assert ds.dataset(tmp_path / "scored").to_table().to_pydict() == {"old": [1]}


@pytest.mark.slow
@pytest.mark.parametrize(("there", "code", "lines"), [(True, 0, 0), (False, 3, 2)], ids=["good", "missing"])
def test_python_writes_nothing_to_stderr_but_why_it_failed(
    table: Path, tmp_path: Path, there: bool, code: int, lines: int
) -> None:
    environment_ = environment()
    environment_["SPARK_CONF_DIR"] = str(tmp_path)  # neither settings nor a log4j2.properties of ours
    arguments = ("--input.path", table if there else tmp_path / "missing", "--features.columns", "y")
    command = [PYTHON, str(ROOT / "jobs/fit.py"), *map(str, arguments), "--output.model", str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment_, timeout=300, check=False)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == lines, done.stderr


def fail(how: str, reason: str, code: int) -> str:
    """Run the job that fails, check what it says and its exit code, and return its stdout."""
    command = [PYTHON, str(ROOT / "tests" / "jobs" / "fail.py"), how]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120, check=False)
    failed, last = last_lines(done.stderr)
    assert failed.startswith(f"sample failed: {reason}")
    assert last.startswith(f"sample ended with exit code {code}. ")
    assert done.returncode == code
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("refuse", "refused"),
        ("worker", "refused in a task"),
        ("analysis", "the table lacks a column, or has it twice: [UNRESOLVED_COLUMN"),
    ],
)
def test_a_failed_job_stops_its_session_before_it_says_why(how: str, reason: str) -> None:
    assert fail(how, reason, code=3) == "running: False\n"


@pytest.mark.slow
def test_a_job_whose_jvm_dies_during_a_call_says_so() -> None:
    fail("kill", "Spark's JVM has ended", code=1)
