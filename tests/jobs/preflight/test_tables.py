"""score and sample: all faults at once, and dry runs that print what would be written and write nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs.conftest import N_ROWS, Outcome
from tests.jobs.preflight.test_fits import list_tree

Run = Callable[..., Outcome]


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """A table that has x as text, and no y."""
    path = tmp_path / "renamed.parquet"
    pq.write_table(pa.table({"x": ["1", "2"], "b": [1.0, 2.0]}), path)
    return path


def test_all_faults_of_a_score_are_told_at_once(run_job: Run, model: Path, renamed: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    done = run_job(
        "score",
        *("--model", model, "--input.path", renamed, "--output.path", tmp_path / "there"),
        *("--output.columns", "no", "--output.report", "/proc/no/r.json"),
    )
    assert done.code == 2
    assert done.err.startswith("score failed: 5 faults, found before any work:\n")
    for told in (
        "output.report: got '/proc/no/r.json', which cannot be written",
        f"output.path: got '{tmp_path / 'there'}', which is there already",
        "output.columns: got no, which the table lacks; it has x, b",
        "model: it was fitted on x, y, and the table lacks y; the table has x, b; name its columns by features.columns",
        "features of the model: x is string; needs numeric columns",
    ):
        assert told in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "/no/such/model"], 3, "score failed: model: got '/no/such/model', where there is nothing"),
        (["--features.columns", "x", "y", "id"], 3, "features.columns: got 3 feature(s), and the model has 2: x, y"),
        (["--output.path", "{model}/scored"], 2, "which is or lies in model"),
        (["--output.path", "/proc/no/scored"], 2, "output.path: got '/proc/no/scored', which cannot be written"),
        (["--output.partition_by", "no"], 2, "output.partition_by: got no, needs columns of the output"),
        (["--output.prediction", "x"], 3, "the table already has 'x'"),
    ],
)
def test_a_single_fault_of_a_score_is_told_as_it_is(
    run_job: Run, model: Path, table: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run_job(
        "score",
        "--model",
        model,
        "--input.path",
        table,
        "--output.path",
        tmp_path / "scored",
        *(one.replace("{model}", str(model)) for one in arguments),
    )
    assert done.code == code, done.err
    assert message in done.err
    assert "faults, found" not in done.err
    assert not (tmp_path / "scored").exists()


def test_a_dry_run_of_a_score_tells_what_it_would_replace_and_writes_nothing(
    run_job: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    score = (
        *("score", "--model", model, "--input.path", table, "--output.path", tmp_path / "scored"),
        *("--features.handle_invalid", "keep", "--output.partition_by", "day", "--output.report", tmp_path / "r.json"),
        *("--features.max_bad_fraction", 0.5, "--drift.max_mean_shift", 2, "--drift.stop", "before", "--run-id", "one"),
    )
    before = list_tree(tmp_path)
    new = run_job(*score, "--dry-run")
    assert new.code == 0, new.err
    assert list_tree(tmp_path) == before
    told = " ".join(new.out.split())
    for part in (
        "score, a dry run: nothing is written",
        f"rows: {N_ROWS}",
        "model run ",
        "full, k = 2, 2 features fitted on x, y",
        f"output {tmp_path / 'scored'}: a new table partitions by day columns id bigint, x double, y double, ",
        "prediction int, log_density double",
        f"{tmp_path / 'r.json'} (output.report): a new file",
        "bad rows: keep, at most 50.000% of the rows",
        "run one",
        "drift exit code 6, before the table is published, beyond mean_shift 2",
    ):
        assert part in told, part
    assert run_job(*score).code == 0
    before = list_tree(tmp_path)
    again = run_job(*score, "--output.mode", "overwrite", "--dry-run")
    assert again.code == 0, again.err
    assert list_tree(tmp_path) == before
    assert f"{tmp_path / 'scored'}: the partitions that have rows are replaced, and no others" in " ".join(
        again.out.split()
    )


def test_a_dry_run_of_a_sample_writes_nothing(run_job: Run, model: Path, tmp_path: Path) -> None:
    before = list_tree(tmp_path)
    done = run_job("sample", "--model", model, "--n", 1000, "--output.path", tmp_path / "sampled", "--dry-run")
    assert done.code == 0, done.err
    assert list_tree(tmp_path) == before
    told = " ".join(done.out.split())
    assert "rows 1,000, seed 0" in told
    assert "columns component int, x double, y double" in told


def test_all_faults_of_a_sample_are_told_at_once(run_job: Run, tmp_path: Path) -> None:
    done = run_job(
        "sample",
        "--model",
        "/no/such/model",
        "--n",
        10,
        "--output.path",
        "/proc/s",
        "--output.report",
        "/proc/no/r.json",
    )
    assert done.code == 2
    assert "3 faults, found before any work" in done.err
    assert "model: got '/no/such/model', where there is nothing" in done.err


def test_a_dry_run_of_prune_removes_nothing(run_job: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "model" / "run_id=old").mkdir()
    (tmp_path / "model" / "run_id=old" / "_manifest.json").write_text("{")
    before = list_tree(tmp_path)
    done = run_job("prune", model, "--dry-run")
    assert done.code == 0, done.err
    assert list_tree(tmp_path) == before
    assert "prune: would remove old, damaged" in done.out
