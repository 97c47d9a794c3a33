"""fit and select: every fault before any work is told at once, and a dry run prints the plan and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gmm_spark.core.kernels.sizes import least_driver_bytes
from gmm_spark.storage import claims
from gmm_spark.storage.files import LocalFiles
from tests.jobs.conftest import N_ROWS, Outcome

Run = Callable[..., Outcome]
FEATURES = ("--features.columns", "x", "y")


def list_tree(folder: Path) -> list[tuple[str, bytes | None]]:
    """List all files and directories, with contents."""
    return sorted((str(path), path.read_bytes() if path.is_file() else None) for path in folder.rglob("*"))


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_all_faults_are_told_at_once_under_the_code_of_the_gravest(
    run_job: Run, table: Path, tmp_path: Path, dry: tuple[str, ...]
) -> None:
    done = run_job(
        "fit",
        *("--input.path", table, "--features.columns", "x", "z", "day", "--features.weight", "day"),
        *("--output.model", "/proc/no/model", "--output.report", "/proc/no/r.json"),
        *("--model.initial_model", tmp_path / "no model", *dry),
    )
    assert done.code == 2
    assert done.err.startswith("fit failed: 6 faults, found before any work:\n")
    for told in (
        "output.model: got '/proc/no/model', which cannot be written",
        "output.report: got '/proc/no/r.json', which cannot be written",
        "features.columns: got z, which the table lacks; it has id, x, y, day",
        "features.columns: day is string; needs numeric columns",
        "features.weight: day is string; needs a numeric column",
        f"model.initial_model: got '{tmp_path / 'no model'}', where there is nothing",
    ):
        assert told in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model.variance_floor", "1", "1", "1"], 2, "model.variance_floor: got 3 number(s), needs 2, one a feature"),
        (["--features.columns", "x", "--model.initial_model", "{model}"], 3, "got a mixture of 2 features, and"),
        (["--features.columns", "x", "x y"], 3, "features.columns: got x y, which the table lacks"),
        (["--model.k", "100000000"], 1, "bytes of memory on the driver"),
    ],
)
def test_a_single_fault_is_told_as_it_is(
    run_job: Run, table: Path, model: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run_job(
        "fit",
        *("--input.path", table, *FEATURES, "--features.handle_invalid", "skip", "--output.model", tmp_path / "new"),
        *(one.replace("{model}", str(model)) for one in arguments),
    )
    assert done.code == code, done.err
    assert message in done.err
    assert "faults, found" not in done.err
    assert not (tmp_path / "new").exists(), "not even a claim"


def test_a_dry_run_of_a_fit_prints_its_plan_and_writes_nothing(
    run_job: Run, table: Path, model: Path, tmp_path: Path
) -> None:
    before = list_tree(tmp_path)
    done = run_job(
        "fit",
        *("--input.path", table, "--input.where", "y < 4", *FEATURES, "--features.handle_invalid", "skip"),
        *("--model.k", 3, "--model.max_iter", 7, "--output.model", model, "--run-id", "today", "--dry-run"),
        *("--output.report", tmp_path / "new folder" / "r.json"),
    )
    assert done.code == 0, done.err
    assert list_tree(tmp_path) == before
    lines = done.out.splitlines()
    assert lines[0] == "fit, a dry run: nothing is written"
    told = " ".join(done.out.split())
    needed = 8 * 2 * 8 * N_ROWS + least_driver_bytes("full", 3, 2)
    for part in (
        f"input {table} (parquet) files: 1, bytes: {os.path.getsize(table):,}, partitions: 1 rows: {N_ROWS}",
        "of which those are read that meet: y < 4",
        "features x double, y double 2 features bad rows: skip",
        "mixtures full, k = 3",
        "starts 10 (k-means++), on a sample of 100,000 rows; seed 0",
        "7 times at most (model.max_iter)",
        f"disks {N_ROWS * 2 * 8:,} bytes of blocks",
        f"memory the driver needs about {needed:,} bytes, its sample included",
        "spark Spark ",
        f"output {model}/run_id=today: a new run",
        "r.json (output.report): a new file, once it is complete",
        "driver python ",
    ):
        assert part in told, part


def test_a_dry_run_says_what_becomes_of_a_run_that_is_there(run_job: Run, table: Path, tmp_path: Path) -> None:
    arguments = ("--input.path", table, *FEATURES, "--output.model", tmp_path / "m", "--run-id", "today")
    assert run_job("fit", *arguments).code == 3, "bad rows: the run has failed"
    failed = run_job("fit", *arguments, "--dry-run")
    assert failed.code == 0, failed.err
    assert "run_id=today: begun before, and failed (DataError: bad rows in x, y: " in " ".join(failed.out.split())
    report = tmp_path / "r.json"
    assert run_job("fit", *arguments, "--features.handle_invalid", "skip").code == 0
    before = list_tree(tmp_path)
    complete = run_job("fit", *arguments, "--dry-run", "--output.report", report)
    assert complete.code == 0, complete.err
    assert "nothing to do, run today" in complete.out
    assert list_tree(tmp_path) == before


def test_a_dry_run_of_a_run_that_another_process_holds_ends_as_the_job_would(
    run_job: Run, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    claims.take(LocalFiles(), str(tmp_path / "m" / "run_id=today"), "fit")
    arguments = ("--input.path", table, *FEATURES, "--output.model", tmp_path / "m", "--run-id", "today")
    done = run_job("fit", *arguments, "--dry-run")
    assert done.code == 5
    assert f"run today in {tmp_path / 'm'} is held by another process" in done.err


def test_a_dry_run_of_select_lists_its_grid(run_job: Run, table: Path, tmp_path: Path) -> None:
    done = run_job(
        "select",
        *("--input.path", table, *FEATURES, "--features.handle_invalid", "skip", "--output.model", tmp_path / "m"),
        *("--selection.ks", 2, 4, "--selection.covariance_types", "full", "diag", "--dry-run"),
    )
    assert done.code == 0, done.err
    told = " ".join(done.out.split())
    assert "mixtures full, k = 2, 4 diag, k = 2, 4" in told
    assert "which the mixtures share" in told
    assert list_tree(tmp_path) == []


def test_a_dry_run_refuses_a_table_with_fewer_rows_than_components(run_job: Run, table: Path, tmp_path: Path) -> None:
    arguments = ("--input.path", table, *FEATURES, "--output.model", tmp_path / "m", "--model.k", N_ROWS + 1)
    done = run_job("fit", *arguments, "--dry-run")
    assert done.code == 3
    assert f"the input has {N_ROWS} rows, needs at least {N_ROWS + 1}" in done.err
